# The template has a checkpoint, as in docs/quick-start.md.
warmctl -q checkpoint octave > /dev/null
