"""CWL as the reference implementation evaluates it, in a process that has no files, no network and no secrets.

cwltool and its JavaScript run on texts of strangers. So they run in a sandbox of their own
(:mod:`node.execute.cwl.inside`), where every name of a file is answered by the node
(:class:`node.execute.cwl.tree.Tree`), and what they say is read as bounded, typed values.
"""
