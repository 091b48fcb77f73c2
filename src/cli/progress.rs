//! Progress on stderr: a bar where that is a screen, and the log.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::models::Progress;

/// A bar that counts bytes; hidden where stderr is no screen.
pub(crate) fn bar(size_bytes: u64, name: &str) -> ProgressBar {
    let bar = ProgressBar::new(size_bytes).with_message(name.to_owned());
    let look = "{msg}  [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    // The template is ours; were it wrong the plain look would do.
    if let Ok(style) = ProgressStyle::with_template(look) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// A bar that counts recordings; hidden where stderr is no screen.
pub(crate) fn count(n: usize, name: &str) -> ProgressBar {
    let bar = ProgressBar::new(n as u64).with_message(name.to_owned());
    let look = "{msg}  [{bar:30}] {pos} of {len} recordings, {eta} left";
    // The template is ours; were it wrong the plain look would do.
    if let Ok(style) = ProgressStyle::with_template(look) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// What a fetch shows.
pub(crate) struct Shown {
    bar: ProgressBar,
}

impl Shown {
    pub(crate) fn new() -> Self {
        Shown {
            bar: ProgressBar::hidden(),
        }
    }

    /// Shows one step.
    pub(crate) fn step(&mut self, step: Progress<'_>) {
        match step {
            Progress::At { done_bytes } => self.bar.set_position(done_bytes),
            Progress::Start { file, size_bytes } => self.replace(bar(size_bytes, file)),
            Progress::Package { package } => {
                log::info!("fetching the Python package {package}");
                let spinner = ProgressBar::new_spinner();
                spinner.set_message(format!("fetching the Python package {package}"));
                spinner.enable_steady_tick(Duration::from_millis(100));
                self.replace(spinner);
            }
            Progress::Failed { file, reason } => {
                self.replace(ProgressBar::hidden());
                // If no other source has the file, the error at the end says it all again.
                log::info!("{file}: {reason}");
            }
            Progress::Present { file } => log::info!("{file} is here already"),
            Progress::Done { file } => {
                self.replace(ProgressBar::hidden());
                log::info!("{file} is verified");
            }
        }
    }

    fn replace(&mut self, bar: ProgressBar) {
        self.bar.finish_and_clear();
        self.bar = bar;
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
