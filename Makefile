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
DEMO    := examples/demo/demo.flac

.PHONY: demo setup build model test lint bench cross install uninstall clean help

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

test: setup ## every test; fetches tiny.en and base first
	@echo "== test: build, then models, then the suite"
	$(CARGO) build --locked $(FEATURES)
	@scripts/model.sh target/debug/hark tiny.en
	@scripts/model.sh --optional target/debug/hark base
	$(CARGO) test --locked $(FEATURES)

lint: setup ## formatting, clippy and rustdoc, warnings as errors
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets $(FEATURES) -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' $(CARGO) doc --locked --no-deps --document-private-items $(FEATURES)

bench: build model ## speed of the model on this machine, stage by stage
	$(HARK) bench whisper --model tiny.en --window short

cross: ## Arm: kernels and a short transcription on an emulated Pi 4 and Pi 5, type checks for Apple silicon
	@scripts/cross.sh

install: build ## into $(PREFIX): the binary, the systemd user unit, an example configuration; fetches the model
	mkdir -p $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/hark
	install -m 644 config.toml README.md $(DESTDIR)$(PREFIX)/share/doc/hark
	install -m 755 $(HARK) $(DESTDIR)$(PREFIX)/bin/hark
	if [ "$$(uname)" = Linux ]; then \
	  mkdir -p $(DESTDIR)$(PREFIX)/share/systemd/user; \
	  sed 's|^ExecStart=.*/hark |ExecStart=$(PREFIX)/bin/hark |' systemd/hark.service > $(DESTDIR)$(PREFIX)/share/systemd/user/hark.service; \
	fi
	@# Outside of the checkout the program looks for models in the user's data folder.
	@if [ -n "$(DESTDIR)" ]; then \
	  echo "== model: not fetched into DESTDIR; every user runs 'hark models pull tiny.en' once"; \
	else \
	  cd / && env -u HARK_MODELS '$(CURDIR)/scripts/model.sh' '$(PREFIX)/bin/hark' tiny.en; \
	fi

uninstall: ## remove what install put there (models and configuration stay)
	rm -f $(DESTDIR)$(PREFIX)/bin/hark $(DESTDIR)$(PREFIX)/share/systemd/user/hark.service
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/hark

clean: ## remove what was built (fetched models stay)
	$(CARGO) clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
