//! `hark models` from outside.

#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use support::model;
use support::program::{Ran, arg, command, hark};

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
        hark(&args).expect(0);
        let after = info(arg(&to));
        assert_eq!(after["container"], "ggml");
        assert_eq!(after["dims"], before["dims"]);
        assert_eq!(after["parameters"], before["parameters"]);
        assert!(after["size_bytes"].as_u64().unwrap() < max_bytes);
        let again = hark(&["models", "convert", arg(&to), arg(&to)]).expect(2);
        assert!(again.complaint().contains("onto itself"));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
