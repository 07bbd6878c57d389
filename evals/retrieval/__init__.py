"""The one expensive protocol: every image scored with every caption, resumable.

`planner` says which pairs, `scorer` runs the model on them, `writer` keeps what is finished.
"""
