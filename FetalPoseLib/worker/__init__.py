"""The process that runs the network: ``server`` inside it, ``client`` outside, ``protocol`` what they say.

Imports ``body``, ``volume``, ``refinement.options`` and, in ``server`` alone, ``estimator``. ``client`` needs no torch:
Slicer's own process imports it. ``codec`` writes the messages of ``protocol`` as JSON, ``process`` starts and ends a
child process, ``machine`` knows the devices. A new file here is a part of the talk between the two processes.
"""
