"""``bench run --host``: the same command on another machine over ssh, its results brought back.

Nothing is left there but one folder of the cache, with a copy of this source and its build.
"""
