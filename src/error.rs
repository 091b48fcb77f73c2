//! What an error means to whoever meets it.
//!
//! Every module has a small error enum of its own, one variant a cause. [`Classify`] sorts those
//! causes by the reaction they call for, which is also the exit code of the program.

/// The reaction that an error calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wrong arguments or configuration: the user corrects them.
    Usage,
    /// A model is missing or unusable: the user fetches or replaces it.
    Model,
    /// An audio device is missing, busy or lost.
    Device,
    /// An input file cannot be read or understood.
    Input,
    /// A fault of our own.
    Bug,
}

impl Kind {
    /// The exit code of a command that ends with an error of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Model => 3,
            Kind::Device => 4,
            Kind::Input => 5,
            Kind::Bug => 70,
        }
    }
}

/// Implemented by the error enum of every module.
pub trait Classify: std::error::Error {
    /// The reaction this error calls for.
    fn kind(&self) -> Kind;
}
