//! A Raspberry Pi: whether it is hot or short of power, and therefore slow.

use std::fs;
use std::path::Path;

use super::report::Check;

const NAME: &str = "temperature";

/// From here on a Pi lowers its clock.
const HOT_C: f64 = 80.0;

/// Bits of the firmware's `get_throttled` (documentation of `vcgencmd`): now, and since it was started.
const UNDER_VOLTAGE: u32 = 1 | 1 << 16;
const THROTTLED: u32 = 0b1110 | 0b1110 << 16;

/// What the system tells; nothing on other machines.
pub(super) fn checks() -> Vec<Check> {
    checks_of(Path::new("/"))
}

fn checks_of(root: &Path) -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let is_pi = read("proc/device-tree/model").is_some_and(|model| model.contains("Raspberry Pi"));
    if !is_pi {
        return Vec::new();
    }
    let millidegrees = read("sys/class/thermal/thermal_zone0/temp");
    let celsius = millidegrees.and_then(|text| text.trim().parse::<f64>().ok());
    let throttled = read("sys/devices/platform/soc/soc:firmware/get_throttled");
    let throttled = throttled.and_then(|text| hexadecimal(&text));
    let mut checks = Vec::new();
    checks.extend(celsius.map(|millidegrees| temperature(millidegrees / 1_000.0)));
    checks.extend(throttled.and_then(power));
    checks
}

fn hexadecimal(text: &str) -> Option<u32> {
    let digits = text.trim();
    u32::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).ok()
}

fn temperature(celsius: f64) -> Check {
    let found = format!("{celsius:.0} °C");
    match celsius >= HOT_C {
        true => Check::warn(
            NAME,
            found,
            "cool the Pi: it is hot, and slow because of that",
        ),
        false => Check::ok(NAME, found),
    }
}

/// None when nothing has happened.
fn power(bits: u32) -> Option<Check> {
    if bits & UNDER_VOLTAGE != 0 {
        let found = "the voltage is or was too low since the start";
        let advice = "give the Pi the power supply it wants: with less it is slow";
        return Some(Check::warn(NAME, found, advice));
    }
    (bits & THROTTLED != 0).then(|| {
        let found = "the clock is or was lowered since the start";
        Check::warn(
            NAME,
            found,
            "cool the Pi: it is or was too hot for its full speed",
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::report::State;
    use super::*;

    fn states(model: &str, millidegrees: &str, throttled: Option<&str>) -> Vec<State> {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/device-tree/model", model);
        write("sys/class/thermal/thermal_zone0/temp", millidegrees);
        if let Some(throttled) = throttled {
            write(
                "sys/devices/platform/soc/soc:firmware/get_throttled",
                throttled,
            );
        }
        let checks = checks_of(root.path());
        checks.iter().map(|check| check.state).collect()
    }

    #[test]
    fn heat_and_power_are_told() {
        let pi = "Raspberry Pi 4 Model B Rev 1.4\0";
        assert_eq!(states(pi, "45277\n", Some("0\n")), [State::Ok]);
        assert_eq!(states(pi, "81000\n", None), [State::Warn]);
        assert_eq!(
            states(pi, "45000\n", Some("0x50005\n")),
            [State::Ok, State::Warn]
        );
        assert_eq!(
            states(pi, "45000\n", Some("80008\n")),
            [State::Ok, State::Warn]
        );
        assert_eq!(states(pi, "hot\n", Some("what\n")), []);
        assert_eq!(states("Some laptop", "99000\n", Some("50005")), []);
    }
}
