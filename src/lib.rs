//! hark: a private, offline voice assistant.
//!
//! Sound travels through the modules in this order:
//!
//! ```text
//! audio ──▶ vad ──▶ dsp (mel) ──▶ whisper (encoder, decoder) ──▶ command ──▶ actions
//!   │                                                            └──▶ respond (llama) ──▶ speech
//!   └────────────── pipeline: the wiring, on the sample clock ─────────────┘
//! ```
//!
//! * **One clock.** Time is the index of a 16 kHz sample; the stages never read the wall clock.
//! * **One wiring.** [`pipeline`] connects the stages; the daemon adds threads and devices,
//!   replay and the tests feed it directly.
//! * **One engine.** [`kernels`] is the only module with intrinsics and `unsafe`; it picks its
//!   code for the CPU at run time and is checked against a scalar reference.
//!
//! Modules import downward only: `clock error event guard place process random stats` · `quant kernels dsp` ·
//! `format nn text` · `llama vad whisper` · `audio command respond speech` · `config dialogue ledger pipeline` ·
//! `daemon cli`; `models` stands beside `format`. `tests/tidy.rs` holds that.

pub(crate) mod clock;
pub mod error;
pub mod event;
pub mod guard;
pub mod place;
pub(crate) mod process;
pub(crate) mod random;
pub mod stats;

pub mod dsp;
#[allow(unsafe_code)]
pub mod kernels;
pub mod quant;

pub mod format;
pub mod models;
pub mod nn;
pub mod text;

pub mod llama;
pub mod vad;
pub mod whisper;

pub mod audio;
pub mod command;
pub mod respond;
pub mod speech;

pub mod config;
pub mod dialogue;
pub mod ledger;
pub mod pipeline;

pub mod cli;
pub mod daemon;
