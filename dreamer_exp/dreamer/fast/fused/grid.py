"""What a persistent kernel needs: a barrier of all its programs, and loads that see what other programs wrote."""

import triton
import triton.language as tl


@triton.jit
def fresh(pointers, mask, other):
    """Loads past the L1 cache, which isn't coherent between programs; what no other program writes may use tl.load."""
    return tl.load(pointers, mask=mask, other=other, cache_modifier=".cg")


@triton.jit
def barrier(counter, arrivals):
    """Waits until `counter` () int32 has had this many arrivals, one a program; they must all be resident at once.

    The release makes what this program stored visible before its arrival; the spin is a volatile read, which unlike
    an atomic doesn't serialise the waiting programs.
    """
    tl.debug_barrier()  # every warp's stores come before the one thread's release
    tl.atomic_add(counter, 1, sem="release", scope="gpu")
    while tl.load(counter, volatile=True) < arrivals:
        pass
    tl.debug_barrier()
