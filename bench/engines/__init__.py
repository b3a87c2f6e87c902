"""What can be timed: our packs, a vendor's library called directly, and other frameworks.

An engine's name is a kernel's full name (that kernel in the problem's own
layouts), ``pack`` (its kernels run through the contract, in the
layouts they like, constants packed), ``pack:eager`` (the public function, that
pack alone allowed), ``dispatch`` (the public function, any pack),
``pack:direct`` (the pack's library without the contract), ``pack:chain32`` (a
replay of 32 in a row), or a peer's.
"""
