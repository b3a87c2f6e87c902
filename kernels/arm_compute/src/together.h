/* Loading a library together with one that needs its symbols, without making them global. */
#ifndef KERNELS_ARM_COMPUTE_TOGETHER_H
#define KERNELS_ARM_COMPUTE_TOGETHER_H

/*
 * Loads `user`, whose undefined symbols are looked up in the file `library`, among others. Both
 * paths are absolute. Had the library been made global instead, whatever is loaded later and
 * brings a copy of it (PyTorch does) would be bound to this one, of whatever version.
 *
 * Returns dlopen's handle of `user`, which stays loaded; NULL with the reason in `error`, of
 * `size` bytes.
 */
void *together_open(const char *library, const char *user, char *error, unsigned long size);

#endif
