"""Loaders of other trainers, one file each, run in environments of their own (`make trainers`).

Each is called as `python load_NAME.py FOLDER STUDENT` where that trainer is installed, reads a
training set of ours with the trainer's own code, and prints a JSON line: the version, and for each
row the text that is trained on, with its weight (null where the trainer has none).
"""
