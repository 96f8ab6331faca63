# The template has a checkpoint: the page is no place to say so.
warmctl -q checkpoint octave > /dev/null
