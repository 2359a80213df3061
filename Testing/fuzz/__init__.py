"""Damaged files and odd clicks by the thousand, each in a process of its own: `make fuzz`.

`damage` bends bytes and JSON, `files` says what is read and what must hold of it, `clicks` plays a person who clicks
anything and a network's process that dies, `child` runs each trial and says how it ended.
"""
