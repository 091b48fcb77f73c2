//! `hark models` from outside.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use hark::format::WhisperFile;
use serde_json::Value;
use support::model;
use support::program::{Ran, arg, command, hark};
use support::tiny::TinyWhisper;

/// Runs `hark models` with an empty folder for models.
fn without_models(args: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&[&["models"], args].concat());
    let output = command.env("HARK_MODELS", folder.path()).output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_list_says_what_is_there() {
    let list = without_models(&["list", "--json"]).expect(0);
    let list: Value = serde_json::from_str(&list.stdout).unwrap();
    let models = list.as_array().unwrap();
    let default: Vec<&Value> = models.iter().filter(|m| m["default"] == true).collect();
    assert_eq!(default.len(), 1);
    assert_eq!(default[0]["name"], "tiny.en");
    assert!(
        models
            .iter()
            .all(|m| m["state"] == "-" && m["licence"] == "MIT")
    );
    let text = without_models(&["list"]).expect(0).stdout;
    assert!(
        models
            .iter()
            .all(|m| text.contains(m["name"].as_str().unwrap()))
    );
}

#[test]
fn an_interrupted_download_is_partial() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tiny.en")).unwrap();
    std::fs::write(folder.path().join("tiny.en/model.bin.part"), "abc").unwrap();
    let run = |args: &[&str]| {
        let mut command = command(args);
        let output = command.env("HARK_MODELS", folder.path()).output().unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), value)
    };
    let (code, list) = run(&["models", "list", "--json"]);
    assert_eq!((code, &list[0]["state"]), (Some(0), &"partial".into()));
    let (code, verified) = run(&["models", "verify", "--json"]);
    assert_eq!(code, Some(3));
    assert_eq!(verified["name"], "tiny.en");
    assert_eq!(verified["verified"], false);
    let problem = verified["problem"].as_str().unwrap();
    assert!(
        problem.contains("run `hark models pull tiny.en`"),
        "{problem}"
    );
}

#[test]
fn what_is_missing_is_said_with_what_to_run() {
    for args in [
        &["info", "tiny.en"][..],
        &["verify", "tiny.en"],
        &["verify"],
    ] {
        let ran = without_models(args).expect(3);
        assert!(
            ran.complaint().contains("run `hark models pull tiny.en`"),
            "{args:?}"
        );
    }
    for args in [["pull", "tinyen"], ["info", "tinyen"], ["verify", "tinyen"]] {
        let ran = without_models(&args).expect(3);
        assert!(
            ran.complaint().contains("did you mean tiny.en?"),
            "{args:?}"
        );
    }
    without_models(&["pull"]).expect(2);
    without_models(&["quantize", "tiny.en", "x.bin", "q6_k"]).expect(2);
}

#[test]
fn a_converted_model_is_the_same_model() {
    let Some(original) = model("tiny.en") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let info = |path: &str| -> Value {
        let ran = hark(&["models", "info", path, "--json"]).expect(0);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let before = info(arg(&original));
    assert_eq!(
        (&before["languages"], &before["text_tokens"]),
        (&1.into(), &50_256.into())
    );
    for (action, file, block, max_bytes) in [
        (&["convert"][..], "half.bin", None, 80_000_000),
        (&["quantize"], "small.bin", Some("q5_1"), 34_000_000),
    ] {
        let to = folder.path().join(file);
        let mut args = [&["models"], action, &[arg(&original), arg(&to)]].concat();
        args.extend(block);
        args.push("--json");
        let ran = hark(&args).expect(0);
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(told["path"], arg(&to));
        assert_eq!(told["type"], block.unwrap_or("f16"));
        let after = info(arg(&to));
        assert_eq!(after["container"], "ggml");
        assert_eq!(after["dims"], before["dims"]);
        assert_eq!(after["parameters"], before["parameters"]);
        assert_eq!(told["size_bytes"], after["size_bytes"]);
        assert!(after["size_bytes"].as_u64().unwrap() < max_bytes);
        let again = hark(&["models", "convert", arg(&to), arg(&to)]).expect(2);
        assert!(again.complaint().contains("onto itself"));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// The folder's content, sorted.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What is in the way of a converted model, or looks like its unfinished form, is left alone.
#[test]
fn converting_harms_no_other_file() {
    let model = TinyWhisper::new(64, 1);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let bytes = model.ggml_f32().bytes;
    std::fs::write(at("y.bin.part"), &bytes).unwrap();
    let convert = |to: &Path| hark(&["models", "convert", arg(&at("y.bin.part")), arg(to)]);

    convert(&at("y.bin")).expect(0);
    assert_eq!(std::fs::read(at("y.bin.part")).unwrap(), bytes);
    assert!(WhisperFile::open(&at("y.bin")).is_ok());

    std::fs::create_dir(at("folder")).unwrap();
    let complaint = convert(&at("folder")).expect(2);
    assert!(complaint.complaint().contains("is a folder"));
    std::os::unix::fs::symlink(at("y.bin.part"), at("link")).unwrap();
    let complaint = convert(&at("link")).expect(2);
    assert!(complaint.complaint().contains("is not a regular file"));
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    convert(&at("socket")).expect(2);
    convert(&at("absent/y.bin")).expect(2);
    assert_eq!(
        names_in(folder.path()),
        ["folder", "link", "socket", "y.bin", "y.bin.part"]
    );
    assert_eq!(std::fs::read(at("y.bin.part")).unwrap(), bytes);
    assert!(names_in(&at("folder")).is_empty());
}

/// A disk that is full, here a limit of a few kilobytes, leaves what was there.
#[test]
fn a_failed_conversion_leaves_nothing() {
    let model = TinyWhisper::new(64, 2);
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from.bin");
    let to = folder.path().join("to.bin");
    std::fs::write(&from, model.ggml_f32().bytes).unwrap();
    std::fs::write(&to, "before").unwrap();
    let limit = format!(
        "ulimit -f 8; trap '' XFSZ; exec \"$0\" models convert '{}' '{}'",
        from.display(),
        to.display()
    );
    let ran = std::process::Command::new("sh")
        .args(["-c", &limit, env!("CARGO_BIN_EXE_hark")])
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("to.bin"));
    assert_eq!(std::fs::read(&to).unwrap(), b"before");
    assert_eq!(names_in(folder.path()), ["from.bin", "to.bin"]);
}
