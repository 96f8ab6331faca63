# The template has a checkpoint, as the page says.
warmctl -q checkpoint octave > /dev/null
