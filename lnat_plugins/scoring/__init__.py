"""From responses to one record each: chat template, tokens, processes, lm-eval's samples files."""
