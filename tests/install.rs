//! `make install` into a folder, and out of it again; the manual pages and completions as their
//! readers take them. A reader that is missing is named and passed over.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use support::program::{arg, hark};
use support::root;

const EVERYWHERE: [&str; 9] = [
    "bin/hark",
    "share/man/man1/hark.1",
    "share/man/man1/hark-run.1",
    "share/man/man1/hark-models-pull.1",
    "share/bash-completion/completions/hark",
    "share/zsh/site-functions/_hark",
    "share/fish/vendor_completions.d/hark.fish",
    "share/doc/hark/config.toml",
    "share/doc/hark/docs/service.md",
];

/// `make GOAL` of what is built, as on `system`.
fn make(goal: &str, into: &Path, system: &str) {
    let mut command = Command::new("make");
    command.args(["--silent", goal, "PREFIX=/usr", "HOME=/me"]);
    command.arg(format!("HARK={}", env!("CARGO_BIN_EXE_hark")));
    command.arg(format!("DESTDIR={}", arg(into)));
    command.arg(format!("SYSTEM={system}"));
    // This may itself be run by make, whose options are not meant for it.
    command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let output = command.current_dir(root()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let inner = path.strip_prefix(folder).unwrap();
                    found.insert(arg(inner).to_owned());
                }
            }
        }
    }
    found
}

#[test]
fn what_is_installed_is_complete_and_can_be_removed() {
    let service = [
        "usr/share/systemd/user/hark.service",
        "me/Library/LaunchAgents/local.hark.plist",
    ];
    for (system, service) in ["Linux", "Darwin"].into_iter().zip(service) {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("usr/share/man/man1/harken.1");
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(&own, "somebody else's").unwrap();

        make("install", folder.path(), system);
        let found = files(folder.path());
        for file in EVERYWHERE {
            assert!(
                found.contains(&format!("usr/{file}")),
                "{system}: no {file}"
            );
        }
        assert!(found.contains(service), "{system}: {found:?}");
        let text = fs::read_to_string(folder.path().join(service)).unwrap();
        assert!(text.contains("/usr/bin/hark"), "{text}");
        assert!(
            !text.contains("@PREFIX@/") && !text.contains("@HOME@/"),
            "{text}"
        );

        make("uninstall", folder.path(), system);
        assert_eq!(
            files(folder.path()),
            ["usr/share/man/man1/harken.1".to_owned()].into()
        );
    }
}

/// Whether `program` accepts `input`; what it complains of. `None` where it is missing.
fn complaints(program: &str, args: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("skipped: {program} is missing");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        said.push_str(&output.status.to_string());
    }
    Some(said)
}

#[test]
fn shells_can_read_the_completions() {
    for (shell, args) in [
        ("bash", ["-n"]),
        ("zsh", ["-n"]),
        ("fish", ["--no-execute"]),
    ] {
        let script = hark(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("transcribe"), "{shell}");
        let said = complaints(shell, &args, &script).unwrap_or_default();
        assert!(said.is_empty(), "{shell}: {said}");
    }
}

#[test]
fn manual_pages_are_set_without_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    hark(&["manual", "--dir", arg(&pages)]).expect(0);
    for page in files(&pages) {
        let text = fs::read_to_string(pages.join(&page)).unwrap();
        for heading in ["NAME", "SYNOPSIS", "DESCRIPTION"] {
            assert!(text.contains(&format!("\n.SH {heading}\n")), "{page}");
        }
        let args = ["-man", "-Tutf8", "-Kutf8", "-ww"];
        let said = complaints("groff", &args, &text).unwrap_or_default();
        assert!(said.is_empty(), "{page}: {said}");
    }
    let first = hark(&["manual"]).expect(0).stdout;
    assert_eq!(first, fs::read_to_string(pages.join("hark.1")).unwrap());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let ran = hark(&["manual", "--dir", "/dev/null/man1"]).expect(2);
    assert!(ran.complaint().contains("/dev/null/man1"), "{}", ran.stderr);
}
