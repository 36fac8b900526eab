"""Prepared captures: a recorded file parsed once, its values kept as columns that are mapped into memory.

``layout`` is the format of the file, ``recorder`` writes it while the text is read, ``book_keeper`` gives it the
depth books, ``capture`` opens it, ``feed`` replays it, ``directory`` is the cache directory that holds the files.
"""
