//! Which threads go first where the machine is busy: sound before words, words before everything
//! else. Where the system does not allow it, all are equal.

/// How a thread is treated.
#[derive(Clone, Copy, Debug)]
pub enum Priority {
    /// It has little to do and must do it in time.
    Prompt,
    /// Nobody waits for it.
    Background,
}

/// Asks the system to treat the calling thread so. On Linux a raise needs `LimitNICE=` or the like.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn set_priority(priority: Priority) {
    let nice = match priority {
        Priority::Prompt => -10,
        Priority::Background => 10,
    };
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), nice) {
        log::debug!("no priority {nice} for this thread: {error}");
    }
}

/// Elsewhere the system decides.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn set_priority(_priority: Priority) {}
