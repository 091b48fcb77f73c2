//! The log: levels of parts, and the systemd journal.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::program::{Ran, arg, command, hark, recording};

/// The program gets as far as opening a recording, says so, and has no model.
fn args<'a>(recording: &'a str, config: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let run = [
        "run", "--source", recording, "--config", config, "--model", "none",
    ];
    [&run, more].concat()
}

fn logged(folder: &Path, config: &str, more: &[&str]) -> String {
    let path = folder.join("config.toml");
    std::fs::write(&path, config).unwrap();
    let recording = recording("command/command_en_0224.flac");
    let ran: Ran = hark(&args(arg(&recording), arg(&path), more)).expect(3);
    ran.stderr
}

#[test]
fn parts_have_levels_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (of_cli, of_audio) = ("configuration ", "flac (Some(16000) Hz");
    for (config, more, has_cli, has_audio) in [
        ("", vec![], false, false),
        ("log = { level = \"info\" }", vec![], true, false),
        (
            "log = { modules = { audio = \"debug\" } }",
            vec![],
            false,
            true,
        ),
        (
            "log = { level = \"debug\", modules = { audio = \"off\" } }",
            vec![],
            true,
            false,
        ),
        ("", vec!["--log", "info"], true, false),
        ("", vec!["--log", "error,audio=debug"], false, true),
        (
            "log = { level = \"debug\" }",
            vec!["--log", "warn"],
            false,
            false,
        ),
    ] {
        let logged = logged(folder.path(), config, &more);
        assert_eq!(
            logged.contains(of_cli),
            has_cli,
            "{config} {more:?}: {logged}"
        );
        assert_eq!(
            logged.contains(of_audio),
            has_audio,
            "{config} {more:?}: {logged}"
        );
    }
}

#[test]
fn unknown_parts_are_told_with_the_nearest() {
    let ran = hark(&["devices", "--log", "warn,audoi=debug"]).expect(2);
    assert!(
        ran.complaint().contains("did you mean `audio`?"),
        "{}",
        ran.stderr
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, "[log.modules]\naudoi = \"debug\"\n").unwrap();
    let ran = hark(&["run", "--config", arg(&path)]).expect(2);
    let said = ran.complaint();
    assert!(
        said.contains("config.toml:2: unknown key `log.modules.audoi`"),
        "{said}"
    );
    assert!(said.contains("did you mean `audio`?"), "{said}");
}

/// In a mount namespace of its own a test may put a socket where the journal listens.
#[cfg(target_os = "linux")]
mod journal {
    use std::collections::BTreeMap;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use super::*;

    /// Set in the process that may.
    const INSIDE: &str = "HARK_TEST_JOURNAL";
    const FOLDER: &str = "/run/systemd/journal";

    #[test]
    fn a_service_writes_fields_to_the_journal() {
        for how in [&["--mount"][..], &["--map-root-user", "--mount"]] {
            let can = Command::new("unshare")
                .args(how)
                .arg("true")
                .stderr(Stdio::null())
                .status();
            if !can.is_ok_and(|status| status.success()) {
                continue;
            }
            let inside = Command::new("unshare")
                .args(how)
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", "journal::listener", "--ignored", "--nocapture"])
                .env(INSIDE, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&inside.stdout);
            assert!(
                inside.status.success(),
                "{said}{}",
                String::from_utf8_lossy(&inside.stderr)
            );
            return;
        }
        eprintln!("skipped: no mount namespace can be made (unshare --mount)");
    }

    /// Not a test: the process in the namespace, which is the journal.
    #[test]
    #[ignore = "the other test runs it in a namespace of its own"]
    fn listener() {
        if std::env::var_os(INSIDE).is_none() {
            return;
        }
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs", "/run"])
            .status();
        assert!(mounted.unwrap().success());
        std::fs::create_dir_all(FOLDER).unwrap();
        let journal = UnixDatagram::bind(format!("{FOLDER}/socket")).unwrap();
        journal
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();

        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        std::fs::write(
            &config,
            "log = { level = \"info\", modules = { audio = \"debug\" } }\n",
        )
        .unwrap();
        let stderr = std::fs::File::create(folder.path().join("stderr")).unwrap();
        let about = stderr.metadata().unwrap();
        let recording = recording("command/command_en_0224.flac");
        let status = command(&args(arg(&recording), arg(&config), &[]))
            .env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino()))
            .stdin(Stdio::null())
            .stderr(stderr)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(3));

        let entries = entries(&journal);
        let of = |target: &str| {
            let found = entries.iter().find(|entry| entry["TARGET"] == target);
            found.unwrap_or_else(|| panic!("nothing of {target} in {entries:?}"))
        };
        let cli = of("hark::cli::run");
        assert!(cli["MESSAGE"].starts_with("configuration "), "{cli:?}");
        assert_eq!(
            (&cli["PRIORITY"][..], &cli["SYSLOG_IDENTIFIER"][..]),
            ("5", "hark")
        );
        assert_eq!(cli["CODE_MODULE"], "hark::cli::run");
        assert_eq!(of("hark::audio::packets")["PRIORITY"], "6");
        // Stderr has what is said to people, and no record twice.
        let said = std::fs::read_to_string(folder.path().join("stderr")).unwrap();
        assert!(
            said.starts_with("hark: ") && said.lines().count() == 1,
            "{said}"
        );
    }

    /// What the program sent, by its fields (the journal's native protocol).
    fn entries(journal: &UnixDatagram) -> Vec<BTreeMap<String, String>> {
        let mut entries = Vec::new();
        let mut datagram = [0; 65_536];
        while let Ok(n) = journal.recv(&mut datagram) {
            // The empty one that tries whether anybody listens.
            if n > 0 {
                entries.push(fields(&datagram[..n]));
            }
        }
        entries
    }

    /// `NAME=value\n`, or `NAME\n`, the length in eight bytes, and the value with its line break.
    fn fields(mut bytes: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            let line = String::from_utf8(bytes[..end].to_vec()).unwrap();
            bytes = &bytes[end + 1..];
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => {
                    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
                    let value = String::from_utf8(bytes[8..8 + n].to_vec()).unwrap();
                    bytes = &bytes[8 + n + 1..];
                    (line, value)
                }
            };
            fields.insert(name, value);
        }
        fields
    }
}
