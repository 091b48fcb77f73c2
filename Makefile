# What a newcomer types. `make` alone sets the machine up, builds, fetches the default model and
# plays the demo; `make help` lists the rest. Every target says what it does before doing it.

SHELL   := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := demo

CARGO   ?= cargo
# Pass e.g. FEATURES="--no-default-features --features download,http,mqtt" to build without sound devices.
FEATURES ?=
PREFIX  ?= $(HOME)/.local
HARK    := target/release/hark
SYSTEM  := $(shell uname)
# Where "make install" puts things.
ROOT    = $(DESTDIR)$(PREFIX)
MAN     = $(ROOT)/share/man/man1
DOC     = $(ROOT)/share/doc/hark
BASH_COMPLETION = $(ROOT)/share/bash-completion/completions/hark
ZSH_COMPLETION  = $(ROOT)/share/zsh/site-functions/_hark
FISH_COMPLETION = $(ROOT)/share/fish/vendor_completions.d/hark.fish
COMPLETIONS     = $(BASH_COMPLETION) $(ZSH_COMPLETION) $(FISH_COMPLETION)
ifeq ($(SYSTEM),Darwin)
SERVICE = $(DESTDIR)$(HOME)/Library/LaunchAgents/local.hark.plist
else
SERVICE = $(ROOT)/share/systemd/user/hark.service
endif
DEMO    := examples/demo/demo.flac

.PHONY: demo setup build model test lint bench cross deb install uninstall clean help

demo: build model ## set this machine up, then play the shipped recording as if it were live
	@echo "== demo: $(DEMO) at the pace of real time (18 s); the last sentence is a command"
	$(HARK) run --source $(DEMO) --config examples/demo/config.toml

setup: ## install what the build needs (on Debian and its kin: ALSA's headers)
	@HARK_FEATURES='$(FEATURES)' scripts/setup.sh

build: setup ## the release binary, target/release/hark
	@echo "== build: release (the first time takes a few minutes)"
	$(CARGO) build --release --locked $(FEATURES)

model: build ## fetch the default model, tiny.en (78 MB), unless it is there
	@scripts/model.sh $(HARK) tiny.en

test: setup ## every test; fetches tiny.en, base and smollm2 first
	@echo "== test: build, then models, then the suite"
	$(CARGO) build --locked $(FEATURES)
	@scripts/model.sh target/debug/hark tiny.en
	@scripts/model.sh --optional target/debug/hark base
	@scripts/model.sh --optional target/debug/hark smollm2
	$(CARGO) test --locked $(FEATURES)

lint: setup ## formatting, clippy and rustdoc, warnings as errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets $(FEATURES) -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' $(CARGO) doc --locked --no-deps --document-private-items $(FEATURES)

bench: build model ## speed of the model on this machine, stage by stage
	$(HARK) bench whisper --model tiny.en --window short

cross: ## Arm: kernels and a short transcription on an emulated Pi 4 and Pi 5, type checks for Apple silicon
	@scripts/cross.sh

deb: setup ## a Debian package for this machine's architecture (target/debian); scripts/deb.sh arm64 for a Raspberry Pi
	@scripts/deb.sh "$$(dpkg --print-architecture)"

# HARK=FILE on the command line installs that program, and builds nothing:
#   make build && sudo make install PREFIX=/usr/local HARK=target/release/hark
ifneq ($(origin HARK),command line)
install: build
endif
install: ## into $(PREFIX): program, service, manual, completions, documents; fetches the model
	@echo "== install: into $(ROOT)"
	mkdir -p $(ROOT)/bin $(MAN) $(DOC)/docs $(dir $(COMPLETIONS))
	install -m 755 $(HARK) $(ROOT)/bin/hark
	install -m 644 config.toml README.md CHANGELOG.md LICENSE $(DOC)
	install -m 644 docs/service.md docs/raspberry-pi.md $(DOC)/docs
	$(HARK) manual --dir $(MAN)
	$(HARK) completions bash > $(BASH_COMPLETION)
	$(HARK) completions zsh > $(ZSH_COMPLETION)
	$(HARK) completions fish > $(FISH_COMPLETION)
	mkdir -p $(dir $(SERVICE))
ifeq ($(SYSTEM),Darwin)
	sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@HOME@|$(HOME)|g' launchd/local.hark.plist > $(SERVICE)
else
	sed 's|^ExecStart=.*/hark |ExecStart=$(PREFIX)/bin/hark |' systemd/hark.service > $(SERVICE)
endif
	@# Outside of the checkout the program looks for models in the user's data folder.
	@if [ -n "$(DESTDIR)" ] || [ "$$(id -u)" -eq 0 ]; then \
	  echo "== model: every user runs 'hark models pull tiny.en' once"; \
	else \
	  cd / && env -u HARK_MODELS '$(CURDIR)/scripts/model.sh' '$(PREFIX)/bin/hark' tiny.en; \
	fi

uninstall: ## remove what install put there (models and configuration stay)
	rm -f $(ROOT)/bin/hark $(MAN)/hark.1 $(MAN)/hark-*.1 $(COMPLETIONS) $(SERVICE)
	rm -rf $(DOC)

clean: ## remove what was built (fetched models stay)
	$(CARGO) clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
