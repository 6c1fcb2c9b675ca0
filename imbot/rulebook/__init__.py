"""The rule language: from text with positions to rules that are checked, compiled and indexed.

Nothing here performs I/O, asks the clock or acts: the loader is given text, and what an
expression may ask of the world comes to it as an argument.
"""
