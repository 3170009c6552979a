#ifndef C_HDF5_SHIM_H
#define C_HDF5_SHIM_H

#include <hdf5.h>
#include <stdio.h>
#include <string.h>

/* Data layers read on threads of their own. Debian's and Ubuntu's HDF5 is built for that. */
#ifndef H5_HAVE_THREADSAFE
#error "this HDF5 is built without thread safety; install libhdf5-dev of Debian 12"
#endif

/* HDF5's constants are macros that call the library first, which Swift cannot see; here they are functions. */

static inline hid_t chdf5_default(void) { return H5P_DEFAULT; }
static inline hid_t chdf5_all(void) { return H5S_ALL; }
static inline hid_t chdf5_float(void) { return H5T_NATIVE_FLOAT; }
static inline hid_t chdf5_int(void) { return H5T_NATIVE_INT; }
static inline hid_t chdf5_llong(void) { return H5T_NATIVE_LLONG; }
static inline hid_t chdf5_c_string(void) { return H5T_C_S1; }
static inline hsize_t chdf5_unlimited(void) { return H5S_UNLIMITED; }

static inline hid_t chdf5_file_access(void) { return H5Pcreate(H5P_FILE_ACCESS); }
static inline hid_t chdf5_dataset_access(void) { return H5Pcreate(H5P_DATASET_ACCESS); }
static inline hid_t chdf5_dataset_creation(void) { return H5Pcreate(H5P_DATASET_CREATE); }
static inline hid_t chdf5_link_creation(void) { return H5Pcreate(H5P_LINK_CREATE); }

static inline hid_t chdf5_open(const char *path, hid_t access) { return H5Fopen(path, H5F_ACC_RDONLY, access); }
static inline hid_t chdf5_create(const char *path) {
  return H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
}

static inline hid_t chdf5_extend(const char *path) { return H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT); }

/* The error stack and its printing belong to the calling thread. */
static inline void chdf5_be_quiet(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

struct chdf5_text {
  char *text;
  size_t size;
};

static inline herr_t chdf5_keep_first(unsigned place, const H5E_error2_t *error, void *data) {
  struct chdf5_text *kept = (struct chdf5_text *)data;
  const char *words = error->desc ? error->desc : "";
  /* Where a filter is missing, the search for plugins fails first; that is not what is wrong. */
  if (place == 0 || strncmp(words, "required filter", 15) == 0) snprintf(kept->text, kept->size, "%s", words);
  return 0;
}

/* The innermost fault of the calling thread's last call; empty when there is none. */
static inline void chdf5_last_fault(char *text, size_t size) {
  struct chdf5_text kept = {text, size};
  text[0] = 0;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, chdf5_keep_first, &kept);
}

#endif
