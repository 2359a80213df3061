"""The paper's tables and figures, measured on this implementation.

May import every room below; nothing that estimates a pose imports from here. A new file here is one more thing that is
measured, or one more table or figure made of the records.
"""
