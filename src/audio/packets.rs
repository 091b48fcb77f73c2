//! Coded recordings: any container and codec that symphonia reads, as a stream.
//!
//! In: an open file. Out: mono samples at 16 kHz. Holds one packet at a time, never the whole
//! recording. A file is a stranger: its figures are checked before they size anything, a packet that cannot
//! be decoded becomes silence of its length with a warning, and a panic of the decoder becomes an
//! error of ours.

use std::io::ErrorKind;

use log::{debug, warn};
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;

use super::front::Ready;
use super::{
    AudioError, AudioSource, ChannelChoice, Heard, MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ,
    Resampler, to_mono,
};
use crate::guard::foreign;

/// Most frames of silence that stand for one damaged packet; no sound packet is longer.
const MAX_PACKET_FRAMES: u64 = 65_536;
/// Packets whose times lie so far apart have something missing between them; less is rounding,
/// more a damaged time.
const MIN_GAP_S: f64 = 0.020;
const MAX_GAP_S: f64 = 30.0;
/// Damaged packets in a row after which the rest is given up: each may claim seconds of silence.
const MAX_DAMAGED_IN_A_ROW: u64 = 64;
/// Most times that reading a file may fail or start over (chained streams) before a packet.
const MAX_FAILED_READS: u32 = 64;

/// A coded recording, decoded as it is read.
pub(crate) struct CodedSource {
    packets: Packets,
    resampler: Option<Resampler>,
    /// Decoded samples of one packet at the file's own rate.
    native: Vec<f32>,
    ready: Ready,
    has_sound: bool,
    ended: bool,
}

impl CodedSource {
    /// Finds out what a file holds. `origin` is its name in messages.
    pub(crate) fn open(file: impl MediaSource + 'static, origin: &str) -> Result<Self, AudioError> {
        Ok(CodedSource {
            packets: Packets::open(file, origin)?,
            resampler: None,
            native: Vec::new(),
            ready: Ready::default(),
            has_sound: false,
            ended: false,
        })
    }

    /// Decodes packets until there is something to hand out or the file ends.
    fn refill(&mut self) -> Result<(), AudioError> {
        while self.ready.is_empty() && !self.ended {
            self.native.clear();
            match self.packets.next(&mut self.native)? {
                Some(rate_hz) => self.convert(rate_hz)?,
                None => {
                    self.ended = true;
                    if let Some(resampler) = &mut self.resampler {
                        resampler.flush(self.ready.refill());
                    }
                }
            }
        }
        self.has_sound |= !self.ready.is_empty();
        if !self.has_sound {
            return Err(self.packets.nothing_decoded());
        }
        Ok(())
    }

    /// Brings `native` to 16 kHz; a rate that changes in mid-file starts a new converter.
    fn convert(&mut self, rate_hz: u32) -> Result<(), AudioError> {
        let ready = self.ready.refill();
        let resampler = match &mut self.resampler {
            Some(resampler) if resampler.rate_in_hz() == rate_hz => resampler,
            slot => {
                if let Some(previous) = slot {
                    previous.flush(ready);
                }
                slot.insert(Resampler::new(rate_hz)?)
            }
        };
        resampler.push(&self.native, ready);
        Ok(())
    }
}

impl AudioSource for CodedSource {
    fn read(&mut self, out: &mut Vec<f32>) -> Result<Heard, AudioError> {
        if self.ready.is_empty() && !self.ended {
            self.refill()?;
        }
        Ok(self.ready.hand_out(out))
    }

    fn duration_s(&self) -> Option<f64> {
        self.packets.duration_s
    }
}

/// The decoder side: container and codec, one packet at a time.
struct Packets {
    origin: String,
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    params: AudioCodecParameters,
    track_id: u32,
    time_base: Option<TimeBase>,
    duration_s: Option<f64>,
    interleaved: Vec<f32>,
    n_decoded_packets: u64,
    n_damaged_packets: u64,
    n_damaged_in_a_row: u64,
    n_failed_reads: u32,
    last_damage: Option<String>,
    /// Where the next packet should begin, in ticks of the time base.
    next_ticks: Option<i64>,
    /// A packet that waits behind the silence of a gap before it.
    held: Option<Packet>,
}

/// What became of one packet.
enum Outcome {
    Decoded(u32),
    Damaged(String),
    Fatal(AudioError),
}

impl Packets {
    fn open(file: impl MediaSource + 'static, origin: &str) -> Result<Self, AudioError> {
        let format = foreign(|| probe(file))
            .unwrap_or(Err(SymphoniaError::DecodeError(
                "its header made the reader fail",
            )))
            .map_err(|error| open_error(origin, error))?;
        let track = choose_track(format.as_ref(), origin)?;
        let decoder = make_decoder(&track.params, origin)?;
        debug!(
            "{origin}: {} ({:?} Hz, {:?} s)",
            decoder.codec_info().short_name,
            track.params.sample_rate,
            track.duration_s
        );
        Ok(Packets {
            origin: origin.into(),
            format,
            decoder,
            params: track.params,
            track_id: track.id,
            time_base: track.time_base,
            duration_s: track.duration_s,
            interleaved: Vec::new(),
            n_decoded_packets: 0,
            n_damaged_packets: 0,
            n_damaged_in_a_row: 0,
            n_failed_reads: 0,
            last_damage: None,
            next_ticks: None,
            held: None,
        })
    }

    /// Appends the samples of the next packet, mixed to mono, and returns their rate; `None` at
    /// the end.
    fn next(&mut self, mono: &mut Vec<f32>) -> Result<Option<u32>, AudioError> {
        loop {
            let packet = match self.held.take() {
                Some(packet) => packet,
                None => {
                    let Some(packet) = self.next_packet()? else {
                        break;
                    };
                    if packet.track_id != self.track_id {
                        continue;
                    }
                    let rate_hz = self.silence_before(&packet, mono);
                    if rate_hz.is_some() {
                        self.held = Some(packet);
                        return Ok(rate_hz);
                    }
                    packet
                }
            };
            self.next_ticks = packet
                .pts
                .get()
                .checked_add_unsigned(packet.block_dur().get());
            let outcome = self.decode(&packet, mono);
            self.next_ticks = self.end_ticks(&packet, mono.len());
            match outcome {
                Outcome::Decoded(rate_hz) => {
                    self.n_decoded_packets += 1;
                    self.n_failed_reads = 0;
                    self.n_damaged_in_a_row = 0;
                    if !mono.is_empty() {
                        return Ok(Some(rate_hz));
                    }
                }
                Outcome::Fatal(error) => return Err(error),
                Outcome::Damaged(detail) => {
                    self.note_damage(&packet, detail);
                    self.n_damaged_in_a_row += 1;
                    if self.n_damaged_in_a_row > MAX_DAMAGED_IN_A_ROW {
                        warn!("{} ends early: the rest is damaged", self.origin);
                        break;
                    }
                    if let Some(rate_hz) = self.silence_for(&packet, mono) {
                        return Ok(Some(rate_hz));
                    }
                }
            }
        }
        if self.n_damaged_packets > 1 {
            let n = self.n_damaged_packets;
            warn!(
                "{}: {n} damaged packets were replaced by silence",
                self.origin
            );
        }
        Ok(None)
    }

    /// The next packet of any track; `None` at the end, also at one that comes too early.
    fn next_packet(&mut self) -> Result<Option<Packet>, AudioError> {
        loop {
            let format = &mut self.format;
            let detail = match foreign(|| format.next_packet()) {
                Some(Ok(packet)) => return Ok(packet),
                Some(Err(SymphoniaError::ResetRequired)) => {
                    self.start_over()?;
                    "it starts over without end".into()
                }
                Some(Err(SymphoniaError::IoError(source)))
                    if source.kind() != ErrorKind::UnexpectedEof =>
                {
                    let origin = self.origin.clone();
                    return Err(AudioError::Read { origin, source });
                }
                // Behind a damaged place the next one may be whole.
                Some(Err(error @ SymphoniaError::DecodeError(_))) => error.to_string(),
                Some(Err(error)) => return Ok(self.end_early(error.to_string())),
                None => return Ok(self.end_early("its container cannot be followed".into())),
            };
            self.n_failed_reads += 1;
            if self.n_failed_reads > MAX_FAILED_READS {
                return Ok(self.end_early(detail));
            }
            self.last_damage = Some(detail);
        }
    }

    /// Notes why nothing more can be read; the end of the stream.
    fn end_early(&mut self, detail: String) -> Option<Packet> {
        if self.n_decoded_packets > 0 {
            warn!("{} ends early: {detail}", self.origin);
        }
        self.last_damage = Some(detail);
        None
    }

    /// A chained stream: the tracks are new and so must the decoder be.
    fn start_over(&mut self) -> Result<(), AudioError> {
        let track = choose_track(self.format.as_ref(), &self.origin)?;
        self.decoder = make_decoder(&track.params, &self.origin)?;
        self.params = track.params;
        self.track_id = track.id;
        self.time_base = track.time_base;
        self.next_ticks = None;
        Ok(())
    }

    fn decode(&mut self, packet: &Packet, mono: &mut Vec<f32>) -> Outcome {
        let decoder = &mut self.decoder;
        let interleaved = &mut self.interleaved;
        let decoded = foreign(|| {
            decoder
                .decode(packet)
                .map(|buffer| copy_interleaved(&buffer, interleaved))
        });
        match decoded {
            Some(Ok((rate_hz, n_channels))) => {
                if let Err(error) = check_figures(&self.origin, rate_hz, n_channels) {
                    return Outcome::Fatal(error);
                }
                to_mono(&self.interleaved, n_channels, ChannelChoice::Mix, mono);
                Outcome::Decoded(rate_hz)
            }
            Some(Err(SymphoniaError::ResetRequired)) => {
                self.decoder.reset();
                Outcome::Damaged("the decoder had to start over".into())
            }
            Some(Err(error)) => Outcome::Damaged(error.to_string()),
            None => match make_decoder(&self.params, &self.origin) {
                Ok(decoder) => {
                    self.decoder = decoder;
                    Outcome::Damaged("the decoder failed".into())
                }
                Err(error) => Outcome::Fatal(error),
            },
        }
    }

    /// Warns of the first damaged packet; the others are counted.
    fn note_damage(&mut self, packet: &Packet, detail: String) {
        self.n_damaged_packets += 1;
        let t = self
            .time_base
            .and_then(|base| base.calc_time(packet.pts))
            .map_or(0.0, |time| time.as_secs_f64());
        if self.n_damaged_packets == 1 {
            warn!(
                "{}: damaged at {t:.2} s ({detail}); silence instead",
                self.origin
            );
        } else {
            debug!("{}: damaged at {t:.2} s ({detail})", self.origin);
        }
        self.last_damage = Some(detail);
    }

    /// Appends silence as long as a damaged packet, so that what follows keeps its time.
    fn silence_for(&self, packet: &Packet, mono: &mut Vec<f32>) -> Option<u32> {
        self.silence(packet.dur.get(), MAX_PACKET_FRAMES, mono)
    }

    /// Appends silence for what is missing before a packet whose time tells so.
    fn silence_before(&mut self, packet: &Packet, mono: &mut Vec<f32>) -> Option<u32> {
        let n_ticks = packet.pts.get().checked_sub(self.next_ticks?)?;
        let gap_s = n_ticks as f64 * self.tick_s()?;
        if !(MIN_GAP_S..MAX_GAP_S).contains(&gap_s) {
            return None;
        }
        debug!("{}: {gap_s:.3} s are missing; silence instead", self.origin);
        let max_frames = (MAX_GAP_S * f64::from(MAX_RATE_HZ)) as u64;
        self.silence(n_ticks.unsigned_abs(), max_frames, mono)
    }

    /// Where a packet ends that gave `n_frames`. Not every container tells a true duration.
    fn end_ticks(&self, packet: &Packet, n_frames: usize) -> Option<i64> {
        let rate_hz = f64::from(self.params.sample_rate?);
        let n_decoded_ticks = (n_frames as f64 / rate_hz / self.tick_s()?).round() as u64;
        let n_ticks = n_decoded_ticks.max(packet.block_dur().get());
        packet.pts.get().checked_add_unsigned(n_ticks)
    }

    /// Seconds of a tick of the time base.
    fn tick_s(&self) -> Option<f64> {
        let base = self.time_base?;
        Some(f64::from(base.numer.get()) / f64::from(base.denom.get()))
    }

    /// Appends silence of a length in ticks and gives its rate. None where there is no rate to
    /// count it with or nothing was decoded yet.
    fn silence(&self, n_ticks: u64, max_frames: u64, mono: &mut Vec<f32>) -> Option<u32> {
        let rate_hz = self.params.sample_rate?;
        let duration = self.time_base?.calc_duration(n_ticks.into())?;
        if self.n_decoded_packets == 0 || !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&rate_hz) {
            return None;
        }
        let n_frames = (duration.as_secs_f64() * f64::from(rate_hz)).round() as u64;
        let n_frames = n_frames.min(max_frames) as usize;
        mono.resize(mono.len() + n_frames, 0.0);
        (n_frames > 0).then_some(rate_hz)
    }

    /// The error for a file that ended without a single sample.
    fn nothing_decoded(&self) -> AudioError {
        let origin = self.origin.clone();
        match &self.last_damage {
            None => AudioError::Empty { origin },
            Some(detail) => AudioError::Damaged {
                origin,
                detail: detail.clone(),
            },
        }
    }
}

/// The chosen track of a container.
struct ChosenTrack {
    id: u32,
    params: AudioCodecParameters,
    time_base: Option<TimeBase>,
    duration_s: Option<f64>,
}

fn probe(file: impl MediaSource + 'static) -> Result<Box<dyn FormatReader>, SymphoniaError> {
    let stream = MediaSourceStream::new(Box::new(file), MediaSourceStreamOptions::default());
    symphonia::default::get_probe().probe(
        &Hint::new(),
        stream,
        FormatOptions::default(),
        MetadataOptions::default(),
    )
}

fn open_error(origin: &str, error: SymphoniaError) -> AudioError {
    let origin = origin.to_owned();
    match error {
        SymphoniaError::IoError(source) if source.kind() != ErrorKind::UnexpectedEof => {
            AudioError::Read { origin, source }
        }
        SymphoniaError::Unsupported(detail) if detail.contains("no suitable format") => {
            AudioError::NotAudio { origin }
        }
        error => AudioError::Damaged {
            origin,
            detail: error.to_string(),
        },
    }
}

/// The track to listen to: the default one, or the first whose codec is known.
fn choose_track(format: &dyn FormatReader, origin: &str) -> Result<ChosenTrack, AudioError> {
    let track = format
        .default_track(TrackType::Audio)
        .ok_or_else(|| AudioError::NotAudio {
            origin: origin.into(),
        })?;
    let Some(CodecParameters::Audio(params)) = &track.codec_params else {
        return Err(AudioError::NotAudio {
            origin: origin.into(),
        });
    };
    if params.codec == CODEC_ID_OPUS {
        return Err(AudioError::Codec {
            origin: origin.into(),
            codec: "Opus".into(),
        });
    }
    if let Some(rate_hz) = params.sample_rate {
        let n_channels = params
            .channels
            .as_ref()
            .map_or(1, |channels| channels.count());
        check_figures(origin, rate_hz, n_channels)?;
    }
    Ok(ChosenTrack {
        id: track.id,
        params: params.clone(),
        time_base: track.time_base,
        duration_s: track_duration_s(track, params),
    })
}

/// The length that the header tells; nonsense is not passed on.
fn track_duration_s(track: &Track, params: &AudioCodecParameters) -> Option<f64> {
    let by_frames = || {
        let rate_hz = params.sample_rate.filter(|&rate| rate > 0)?;
        Some(track.num_frames? as f64 / f64::from(rate_hz))
    };
    let by_time_base = || {
        let duration = track.time_base?.calc_duration(track.duration?)?;
        Some(duration.as_secs_f64())
    };
    by_frames()
        .or_else(by_time_base)
        .filter(|seconds| (0.0..1e7).contains(seconds))
}

fn make_decoder(
    params: &AudioCodecParameters,
    origin: &str,
) -> Result<Box<dyn AudioDecoder>, AudioError> {
    let options = AudioDecoderOptions::default();
    let made = foreign(|| symphonia::default::get_codecs().make_audio_decoder(params, &options));
    match made {
        Some(Ok(decoder)) => Ok(decoder),
        Some(Err(SymphoniaError::Unsupported(detail))) => Err(AudioError::Codec {
            origin: origin.into(),
            codec: format!("coded ({detail})"),
        }),
        Some(Err(error)) => Err(AudioError::Damaged {
            origin: origin.into(),
            detail: error.to_string(),
        }),
        None => Err(AudioError::Damaged {
            origin: origin.into(),
            detail: "its header made the decoder fail".into(),
        }),
    }
}

fn check_figures(origin: &str, rate_hz: u32, n_channels: usize) -> Result<(), AudioError> {
    if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&rate_hz) {
        return Err(AudioError::Rate {
            origin: origin.into(),
            rate_hz,
        });
    }
    if !(1..=MAX_CHANNELS).contains(&n_channels) {
        return Err(AudioError::Channels {
            origin: origin.into(),
            n_channels,
        });
    }
    Ok(())
}

/// Replaces `interleaved` by the samples of `buffer`; gives rate and channels.
fn copy_interleaved(
    buffer: &GenericAudioBufferRef<'_>,
    interleaved: &mut Vec<f32>,
) -> (u32, usize) {
    buffer.copy_to_vec_interleaved(interleaved);
    (buffer.spec().rate(), buffer.spec().channels().count())
}
