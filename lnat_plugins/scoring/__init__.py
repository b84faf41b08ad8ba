"""From responses to one record each: chat template, tokens, processes, lm-eval's samples files.

Imports neither lm_eval nor trl: hosts bring a back end and a loop of their own.
"""
