"""Which receiver runs when, read from what is connected while the project runs.

``live.py`` asks Django, ``entries.py`` makes a list of the answers, ``chains.py`` finds the jobs
and signals that a receiver leads to, ``formats.py`` and ``document.py`` write it all down.
"""
