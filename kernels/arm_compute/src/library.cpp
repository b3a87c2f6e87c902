#include "library.h"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mutex>
#include <string>

#include "together.h"

#define LIBRARY_VARIABLE "DISPATCH_ARM_COMPUTE_LIBRARY"
#define LIBRARY_SONAME "libarm_compute.so.43"
#define SHIM_NAME "libkernels_arm_compute_shim.so"
#define REMEDY                                                                               \
  "install Debian's libarm-compute43 or PyTorch 2.6.0 for aarch64, or set " LIBRARY_VARIABLE \
  " to a libarm_compute.so of version 24.09 or 24.11"

namespace {

/*
 * Versions whose C++ interface was tried with this pack: there is no promise that another one's
 * classes have the same size and order of virtual functions.
 */
constexpr const char *tried_versions[] = {"24.09", "24.11"};

/* std::string arm_compute::build_information() */
constexpr char build_information_symbol[] = "_ZN11arm_compute17build_informationB5cxx11Ev";
constexpr char version_key[] = "arm_compute_version=v";

std::mutex opening;
void *bound_library; /* what the shim's symbols are bound to, and the path that it was opened by */
std::string bound_path;
shim_entry bound_shim;

template <typename... Arguments>
kp_status fail(kp_error *error, kp_status status, const char *format, Arguments... arguments) {
  snprintf(error->message, sizeof error->message, format, arguments...);
  return status;
}

const char *last_error() {
  const char *text = dlerror();
  return text ? text : "unknown reason";
}

/* "24.11" of the library's own description of itself; empty: it has none. */
std::string version_of(void *library) {
  using Information = std::string (*)();
  const auto information = reinterpret_cast<Information>(dlsym(library, build_information_symbol));
  if (!information) return {};
  const std::string text = information();
  const size_t key = text.find(version_key);
  if (key == std::string::npos) return "of no known version";
  const size_t begin = key + sizeof version_key - 1;
  return text.substr(begin, text.find(' ', begin) - begin);
}

/*
 * PyTorch's wheels keep the library beside a copy of OpenMP's that it needs by a name of its own,
 * without a search path to find it by. The copy is loaded first; this pack's threads aren't its.
 */
void *load(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  const char *slash = strrchr(path, '/');
  if (library || !slash) return library;
  const std::string pattern = std::string(path, slash + 1) + "libgomp-*.so*";
  glob_t found = {};
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (size_t i = 0; i < found.gl_pathc; i++)
      dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  globfree(&found);
  return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

bool is_tried(const std::string &version) {
  for (const char *tried : tried_versions)
    if (version == tried) return true;
  return false;
}

/* The shim lies beside the library that this code is in. */
std::string shim_path() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void *>(&is_tried), &info) || !info.dli_fname)
    return SHIM_NAME;
  const std::string own = info.dli_fname;
  const size_t slash = own.rfind('/');
  return slash == std::string::npos ? SHIM_NAME : own.substr(0, slash + 1) + SHIM_NAME;
}

/* The file that a library was loaded from. */
std::string file_of(void *library, const char *path) {
  const link_map *map = nullptr;
  if (dlinfo(library, RTLD_DI_LINKMAP, &map) || !map || !map->l_name || !*map->l_name) return path;
  return map->l_name;
}

kp_status load_shim(void *library, const char *path, kp_error *error) {
  const std::string place = shim_path();
  char reason[300];
  void *shim = together_open(file_of(library, path).c_str(), place.c_str(), reason, sizeof reason);
  if (!shim)
    return fail(error, KP_WRONG_VERSION, "%s doesn't fit the pack's code: %s; " REMEDY, path,
                reason);
  const auto entry = reinterpret_cast<shim_entry>(dlsym(shim, SHIM_ENTRY));
  const auto bound = reinterpret_cast<shim_bound>(dlsym(shim, SHIM_BOUND));
  if (!entry || !bound)
    return fail(error, KP_INTERNAL, "%s has no functions " SHIM_ENTRY " and " SHIM_BOUND,
                place.c_str());
  /* Global names are looked up first, whoever made them so. */
  if (bound() != dlsym(library, build_information_symbol))
    return fail(error, KP_UNAVAILABLE,
                "another Arm Compute Library's names are global in this process, so that %s can't "
                "be used: load that one with RTLD_LOCAL",
                path);
  bound_shim = entry;
  bound_library = library;
  bound_path = path;
  return KP_OK;
}

kp_status open_locked(const char *path, kp_pack *pack, kp_error *error) {
  if (!path || !*path) path = getenv(LIBRARY_VARIABLE);
  if (!path || !*path) path = LIBRARY_SONAME;
  /* LOCAL until its version is known. */
  void *library = load(path);
  if (!library)
    return fail(error, KP_UNAVAILABLE, "can't load the Arm Compute Library from %s: %s; " REMEDY,
                path, last_error());
  const std::string version = version_of(library);
  kp_status status = KP_OK;
  if (version.empty())
    status =
        fail(error, KP_WRONG_VERSION,
             "%s isn't an Arm Compute Library: it has no arm_compute::build_information(); " REMEDY,
             path);
  else if (!is_tried(version))
    status = fail(error, KP_WRONG_VERSION,
                  "%s is Arm Compute Library %s; expected 24.09 or 24.11, the versions that this "
                  "pack was tried with: " REMEDY,
                  path, version.c_str());
  else if (!bound_shim)
    status = load_shim(library, path, error);
  else if (bound_library != library)
    status = fail(error, KP_UNAVAILABLE,
                  "%s can't be used in this process, which has bound %s already: start another one",
                  path, bound_path.c_str());
  dlclose(library); /* what was bound stays */
  if (status != KP_OK) return status;
  return bound_shim(("Arm Compute Library " + version).c_str(), pack, error);
}

}  // namespace

kp_status library_open(const char *path, kp_pack *pack, kp_error *error) {
  try {
    const std::lock_guard<std::mutex> lock(opening);
    return open_locked(path, pack, error);
  } catch (const std::exception &exception) {
    return fail(error, KP_INTERNAL, "opening the Arm Compute Library: %s", exception.what());
  } catch (...) {
    return fail(error, KP_INTERNAL, "%s", "opening the Arm Compute Library threw an exception");
  }
}
