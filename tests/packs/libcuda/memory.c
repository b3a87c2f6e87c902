/*
 * memory.c: allocations of the host's memory between guards, poisoned, and copies that are held
 * to them.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libcuda.h"

enum { PAGE = 4096, ALIGNMENT = 512, POISON = 0xAB, GUARD = 0xCD, HOST = -1 };

static allocation *allocations; /* sorted by start */
static size_t live, room;
static size_t used[MAX_DEVICES];

/* ---- The table --------------------------------------------------------------- */

/** Return the index of the first allocation that starts behind an address. */
static size_t behind(uintptr_t address) {
  size_t low = 0, high = live;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (allocations[middle].start <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

const allocation *allocation_of(uintptr_t address) {
  size_t i = behind(address);
  if (i == 0) return NULL;
  const allocation *found = &allocations[i - 1];
  return address - found->start < found->size ? found : NULL;
}

const uintptr_t (*spans(size_t *count))[2] {
  static uintptr_t (*made)[2];
  free(made);
  made = malloc((live + 1) * sizeof *made);
  for (size_t i = 0; i < live; i++) {
    made[i][0] = allocations[i].start;
    made[i][1] = allocations[i].start + allocations[i].size;
  }
  *count = live;
  return (const uintptr_t (*)[2])made;
}

/** Say whether bytes lie in one allocation. */
static bool is_inside(uintptr_t address, size_t bytes) {
  const allocation *found = allocation_of(address);
  return found && bytes <= found->start + found->size - address;
}

static size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

static size_t limit(void) {
  const char *text = getenv("LIBCUDA_MEMORY");
  return text ? strtoull(text, NULL, 0) : (size_t)1 << 30;
}

/**
 * Between two pages that can't be touched, the end as near to the second as 512 bytes allow; what
 * lies between is filled, and looked at when the memory is freed.
 */
static CUresult allocate(uintptr_t *start, size_t bytes, CUdevice device) {
  if (start == NULL || bytes == 0) return INVALID_VALUE;
  if (device != HOST && bytes > limit() - used[device]) return OUT_OF_MEMORY;
  size_t usable = rounded(bytes, PAGE);
  char *pages = mmap(NULL, usable + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return OUT_OF_MEMORY;
  mprotect(pages + PAGE, usable, PROT_READ | PROT_WRITE);
  memset(pages + PAGE, GUARD, usable);
  *start = (uintptr_t)pages + PAGE + usable - rounded(bytes, ALIGNMENT);
  memset((void *)*start, POISON, bytes);
  if (live == room)
    allocations = realloc(allocations, (room = 2 * room + 64) * sizeof *allocations);
  size_t at = behind(*start);
  memmove(allocations + at + 1, allocations + at, (live - at) * sizeof *allocations);
  allocations[at] = (allocation){*start, bytes, device};
  live++;
  if (device != HOST) used[device] += bytes;
  return SUCCESS;
}

static CUresult release(uintptr_t start, bool of_host) {
  size_t i = behind(start);
  if (i == 0 || allocations[i - 1].start != start) return INVALID_VALUE;
  allocation one = allocations[i - 1];
  if ((one.device == HOST) != of_host) return INVALID_VALUE;
  size_t usable = rounded(one.size, PAGE);
  uintptr_t end = start + rounded(one.size, ALIGNMENT), first = end - usable;
  bool is_whole = true;
  for (uintptr_t at = first; at < end; at++)
    if ((at < start || at >= start + one.size) && *(unsigned char *)at != GUARD) is_whole = false;
  if (!is_whole) note("overwritten", "bytes beside an allocation");
  munmap((void *)(first - PAGE), usable + 2 * PAGE);
  if (!of_host) used[one.device] -= one.size;
  memmove(allocations + i - 1, allocations + i, (live - i) * sizeof *allocations);
  live--;
  return is_whole ? SUCCESS : (lost = ILLEGAL_ADDRESS);
}

/* ---- Allocation -------------------------------------------------------------- */

API CUresult cuMemAlloc_v2(CUdeviceptr *start, size_t bytes) {
  ENTER_CONTEXT;
  CUresult status = unsafe();
  return status ? status : allocate(start, bytes, current_context()->device);
}

API CUresult cuMemFree_v2(CUdeviceptr start) {
  ENTER;
  CUresult status = unsafe();
  return status || start == 0 ? status : release(start, false);
}

API CUresult cuMemHostAlloc(void **start, size_t bytes, unsigned flags) {
  ENTER_CONTEXT;
  (void)flags;
  CUresult status = unsafe();
  return status ? status : allocate((uintptr_t *)start, bytes, HOST);
}

API CUresult cuMemFreeHost(void *start) {
  ENTER;
  CUresult status = unsafe();
  return status ? status : release((uintptr_t)start, true);
}

API CUresult cuMemGetInfo_v2(size_t *unused, size_t *total) {
  ENTER_CONTEXT;
  *total = limit();
  *unused = limit() - used[current_context()->device];
  return SUCCESS;
}

API CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  ENTER;
  if (device < 0 || device >= device_count()) return INVALID_DEVICE;
  *bytes = limit();
  return SUCCESS;
}

API CUresult cuMemGetAddressRange_v2(CUdeviceptr *start, size_t *bytes, CUdeviceptr address) {
  ENTER_CONTEXT;
  const allocation *found = allocation_of(address);
  if (found == NULL) return NOT_FOUND;
  if (start) *start = found->start;
  if (bytes) *bytes = found->size;
  return SUCCESS;
}

static CUresult attribute_of(void *value, int attribute, uintptr_t address) {
  const allocation *found = allocation_of(address);
  if (found == NULL) return INVALID_VALUE;
  switch (attribute) {
    case 2: /* MEMORY_TYPE: 1 host, 2 device */
      *(unsigned *)value = found->device == HOST ? 1 : 2;
      return SUCCESS;
    case 3: /* DEVICE_POINTER */
      *(uintptr_t *)value = address;
      return SUCCESS;
    case 8: /* IS_MANAGED */
      *(unsigned *)value = 0;
      return SUCCESS;
    case 9: /* DEVICE_ORDINAL */
      *(int *)value = found->device == HOST ? 0 : found->device;
      return SUCCESS;
    case 11: /* RANGE_START_ADDR */
      *(uintptr_t *)value = found->start;
      return SUCCESS;
    case 12: /* RANGE_SIZE */
      *(size_t *)value = found->size;
      return SUCCESS;
    default:
      return NOT_SUPPORTED;
  }
}

API CUresult cuPointerGetAttribute(void *value, int attribute, CUdeviceptr address) {
  ENTER;
  return attribute_of(value, attribute, address);
}

/* ---- Copies ------------------------------------------------------------------ */

bool may_touch(uintptr_t address, size_t bytes, bool of_device) {
  return of_device || allocation_of(address) ? is_inside(address, bytes) : address != 0;
}

static CUresult copy(uintptr_t target, uintptr_t source, size_t bytes, bool to_device,
                     bool from_device, stream *on, bool waits) {
  if (bytes == 0) return SUCCESS;
  if (!may_touch(target, bytes, to_device) || !may_touch(source, bytes, from_device))
    return INVALID_VALUE;
  CUresult status = waits ? unsafe() : SUCCESS;
  return status ? status
                : enqueue(on, (work){.kind = COPY,
                                     .target = target,
                                     .source = source,
                                     .count = bytes,
                                     .to_device = to_device,
                                     .from_device = from_device});
}

#define COPY_FUNCTIONS(NAME, SUFFIX, TARGET, SOURCE, TO, FROM)                           \
  API CUresult cuMemcpy##NAME##SUFFIX(TARGET target, SOURCE source, size_t bytes) {      \
    ENTER_CONTEXT;                                                                       \
    return copy((uintptr_t)target, (uintptr_t)source, bytes, TO, FROM, NULL, true);      \
  }                                                                                      \
  API CUresult cuMemcpy##NAME##Async##SUFFIX(TARGET target, SOURCE source, size_t bytes, \
                                             stream *on) {                               \
    ENTER_CONTEXT;                                                                       \
    return copy((uintptr_t)target, (uintptr_t)source, bytes, TO, FROM, on, false);       \
  }
COPY_FUNCTIONS(HtoD, _v2, CUdeviceptr, const void *, true, false)
COPY_FUNCTIONS(DtoH, _v2, void *, CUdeviceptr, false, true)
COPY_FUNCTIONS(DtoD, _v2, CUdeviceptr, CUdeviceptr, true, true)
COPY_FUNCTIONS(, , CUdeviceptr, CUdeviceptr, false, false)

static CUresult set(uintptr_t target, uint32_t value, uint32_t width, size_t count, stream *on,
                    bool waits) {
  if (count == 0) return SUCCESS;
  if (target % width || count > SIZE_MAX / width || !is_inside(target, count * width))
    return INVALID_VALUE;
  CUresult status = waits ? unsafe() : SUCCESS;
  return status ? status
                : enqueue(on, (work){.kind = SET,
                                     .target = target,
                                     .value = value,
                                     .width = width,
                                     .count = count});
}

#define SET_FUNCTIONS(BITS, SUFFIX)                                                              \
  API CUresult cuMemsetD##BITS##SUFFIX(CUdeviceptr target, uint##BITS##_t value, size_t count) { \
    ENTER_CONTEXT;                                                                               \
    return set(target, value, BITS / 8, count, NULL, true);                                      \
  }                                                                                              \
  API CUresult cuMemsetD##BITS##Async(CUdeviceptr target, uint##BITS##_t value, size_t count,    \
                                      stream *on) {                                              \
    ENTER_CONTEXT;                                                                               \
    return set(target, value, BITS / 8, count, on, false);                                       \
  }
SET_FUNCTIONS(8, _v2)
SET_FUNCTIONS(16, _v2)
SET_FUNCTIONS(32, _v2)
