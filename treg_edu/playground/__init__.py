"""The playground: a web page on which visitors measure pictures, type texts and watch solvers answer.  `make playground`.

Each visitor has a process, a kernel of Voilà that runs `page`. One more process, the `worker`, holds the prior and solves for all of them,
one question at a time. Imports that need the extra `playground` (Voilà, ipycanvas) are made on first use.
"""
