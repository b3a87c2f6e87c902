#include "together.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

namespace {

/*
 * What dlopen loads looks its symbols up among all that was loaded for the same call. So the call
 * is for a library without code, which needs the two by their paths (System V ABI, chapter 5).
 */
struct Image {
  ElfW(Ehdr) header;
  ElfW(Phdr) segments[3];
  ElfW(Dyn) dynamic[7];
  ElfW(Sym) symbols[1];
};

constexpr size_t largest_page = 1 << 16;

ElfW(Phdr) segment(ElfW(Word) type, size_t offset, size_t size, size_t alignment) {
  ElfW(Phdr) made = {};
  made.p_type = type;
  made.p_flags = PF_R | PF_W; /* the linker writes addresses into the dynamic section */
  made.p_offset = made.p_vaddr = made.p_paddr = offset;
  made.p_filesz = made.p_memsz = size;
  made.p_align = alignment;
  return made;
}

ElfW(Dyn) entry(ElfW(Sxword) tag, ElfW(Xword) value) {
  ElfW(Dyn) made = {};
  made.d_tag = tag;
  made.d_un.d_val = value;
  return made;
}

std::string image_that_needs(const char *first, const char *second) {
  const std::string strings = std::string(1, '\0') + first + '\0' + second + '\0';
  const size_t size = sizeof(Image) + strings.size();
  Image image = {};
  ElfW(Ehdr) &header = image.header;
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_DYN;
  header.e_machine = EM_AARCH64;
  header.e_version = EV_CURRENT;
  header.e_phoff = offsetof(Image, segments);
  header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof image.segments[0];
  header.e_phnum = 3;
  image.segments[0] = segment(PT_LOAD, 0, size, largest_page);
  image.segments[1] =
      segment(PT_DYNAMIC, offsetof(Image, dynamic), sizeof image.dynamic, alignof(ElfW(Dyn)));
  image.segments[2] = segment(PT_GNU_STACK, 0, 0, 16); /* not executable */
  image.dynamic[0] = entry(DT_NEEDED, 1);
  image.dynamic[1] = entry(DT_NEEDED, 1 + strlen(first) + 1);
  image.dynamic[2] = entry(DT_STRTAB, sizeof image);
  image.dynamic[3] = entry(DT_STRSZ, strings.size());
  image.dynamic[4] = entry(DT_SYMTAB, offsetof(Image, symbols));
  image.dynamic[5] = entry(DT_SYMENT, sizeof image.symbols[0]);
  return std::string(reinterpret_cast<const char *>(&image), sizeof image) + strings;
}

bool write_all(int file, const std::string &bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t now = write(file, bytes.data() + done, bytes.size() - done);
    if (now < 0 && errno != EINTR) return false;
    if (now > 0) done += static_cast<size_t>(now);
  }
  return true;
}

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 8U
#endif

/* Not executable: hardened systems make no others. */
int make_memory_file() {
  constexpr const char *name = "kernels_arm_compute";
  const int file = memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  return file < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC) : file;
}

/* A file in memory; its path is the process's own view of it. */
class MemoryFile {
 public:
  explicit MemoryFile(const std::string &bytes) : file_(make_memory_file()) {
    if (file_ >= 0 && !write_all(file_, bytes)) {
      const int reason = errno;
      close(file_);
      file_ = -1;
      errno = reason;
    }
  }
  ~MemoryFile() {
    if (file_ >= 0) close(file_);
  }
  MemoryFile(const MemoryFile &) = delete;
  MemoryFile &operator=(const MemoryFile &) = delete;
  bool is_open() const { return file_ >= 0; }
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

void *fail(char *error, unsigned long size, const char *reason) {
  snprintf(error, size, "%s", reason ? reason : "unknown reason");
  return nullptr;
}

}  // namespace

void *together_open(const char *library, const char *user, char *error, unsigned long size) {
  const MemoryFile file(image_that_needs(library, user));
  if (!file.is_open()) return fail(error, size, strerror(errno));
  void *both = dlopen(file.path().c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!both) return fail(error, size, dlerror());
  /* The two are kept, but not what needed them: another file may have its path soon. */
  void *kept = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD | RTLD_NODELETE);
  void *result = dlopen(user, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD | RTLD_NODELETE);
  if (!kept || !result) fail(error, size, dlerror());
  dlclose(both);
  return kept ? result : nullptr;
}
