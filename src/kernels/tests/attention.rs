//! Attention against its definition.

use half::{bf16, f16};

use super::super::*;
use super::{assert_close, noise};

/// Attention written out.
pub(super) fn attention64(a: &Attention<f32>, visible: impl Fn(usize, usize) -> bool) -> Vec<f64> {
    let (d, n_state) = (a.d_head, a.n_head * a.d_head);
    let mut out = vec![0.0; a.n_q * n_state];
    for i in 0..a.n_q {
        for head in 0..a.n_head {
            let q = &a.q[i * n_state + head * d..][..d];
            let (mut total, mut n_before) = (0.0, 0);
            let out = &mut out[i * n_state + head * d..][..d];
            for part in a.parts {
                for j in part.range.clone() {
                    let at = (head * part.capacity + j) * d;
                    let dot: f64 = (0..d)
                        .map(|c| f64::from(q[c]) * f64::from(part.k[at + c]))
                        .sum();
                    if visible(i, n_before + j - part.range.start) {
                        let p = (dot * f64::from(a.scale)).exp();
                        total += p;
                        (0..d).for_each(|c| out[c] += p * f64::from(part.v[at + c]));
                    }
                }
                n_before += part.range.len();
            }
            out.iter_mut().for_each(|v| *v /= total);
        }
    }
    out
}

#[test]
fn attention_equals_the_definition() {
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        for (n_q, n_head, d_head, n_kv) in [
            (1, 1, 8, 1),
            (3, 2, 64, 5),
            (17, 1, 24, 127),
            (33, 3, 64, 129),
            (65, 2, 40, 300),
            (5, 2, 128, 260),
        ] {
            let capacity = n_kv + 3;
            let q = noise(n_q * n_head * d_head, 1);
            let k = noise(n_head * capacity * d_head, 2);
            let v = noise(n_head * capacity * d_head, 3);
            let half = |x: &[f32]| x.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>();
            let (k16, v16) = (half(&k), half(&v));
            let whole = |x: &[f16]| x.iter().map(|&x| x.to_f32()).collect::<Vec<_>>();
            let (k, v) = (whole(&k16), whole(&v16));
            let cut = n_kv / 3;
            let ranges = [0..cut, cut + 1..n_kv + 2];
            let parts: Vec<_> = ranges
                .iter()
                .map(|r| KvPart {
                    k: &k[..],
                    v: &v[..],
                    capacity,
                    range: r.clone(),
                })
                .collect();
            let parts16: Vec<_> = ranges
                .iter()
                .map(|r| KvPart {
                    k: &k16[..],
                    v: &v16[..],
                    capacity,
                    range: r.clone(),
                })
                .collect();
            let scale = 3.0 / (d_head as f32).sqrt();
            let what = format!("{cpu:?} {n_q} {n_head} {d_head} {n_kv}");
            let mut out = vec![f32::NAN; q.len()];

            let a = Attention {
                q: &q,
                n_q,
                n_head,
                n_kv_head: n_head,
                d_head,
                scale,
                parts: &parts,
                mask: Mask::None,
            };
            let expected = attention64(&a, |_, _| true);
            attention(&exec, &a, &mut out);
            assert_close(&what, &out, &expected, 1e-5);
            let a16 = Attention {
                q: &q,
                n_q,
                n_head,
                n_kv_head: n_head,
                d_head,
                scale,
                parts: &parts16,
                mask: Mask::None,
            };
            out.fill(f32::NAN);
            attention(&exec, &a16, &mut out);
            assert_close(&what, &out, &expected, 1e-5);

            // The probabilities, times the values, are the same result.
            let mut probs = vec![f32::NAN; ranges.iter().map(|r| r.len()).sum()];
            let mut all = vec![f32::NAN; n_q * probs.len()];
            attention_probs(cpu, &a16, n_head - 1, &mut all);
            let last = all.len() - probs.len();
            probs.copy_from_slice(&all[last..]);
            let positions = ranges.iter().cloned().flatten();
            let first: f32 = positions
                .zip(&probs)
                .map(|(j, p)| p * v[((n_head - 1) * capacity + j) * d_head])
                .sum();
            assert_close(&what, &[first], &expected[q.len() - d_head..][..1], 1e-5);

            if n_kv > n_q {
                let n_past = n_kv - n_q;
                let parts = [KvPart {
                    k: &k,
                    v: &v,
                    capacity,
                    range: 0..capacity,
                }];
                let mask = Mask::Causal { n_past };
                let a = Attention {
                    q: &q,
                    n_q,
                    n_head,
                    n_kv_head: n_head,
                    d_head,
                    scale,
                    parts: &parts,
                    mask,
                };
                let expected = attention64(&a, |i, j| j <= n_past + i);
                out.fill(f32::NAN);
                attention(&exec, &a, &mut out);
                assert_close(&what, &out, &expected, 1e-5);
            }
        }
    }
}

/// Heads that share keys and values see what they would see with copies of their own.
#[test]
fn shared_keys_are_those_of_each_head() {
    let (n_q, n_head, n_kv_head, d_head, capacity) = (5, 6, 2, 16, 40);
    let q = noise(n_q * n_head * d_head, 1);
    let [k, v] = [2, 3].map(|seed| noise(n_kv_head * capacity * d_head, seed));
    let copied = |x: &[f32]| -> Vec<f32> {
        let heads = x.chunks_exact(capacity * d_head);
        heads
            .flat_map(|head| head.repeat(n_head / n_kv_head))
            .collect()
    };
    let (k_own, v_own) = (copied(&k), copied(&v));
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        for mask in [Mask::None, Mask::Causal { n_past: 30 }] {
            let mut out = [vec![f32::NAN; q.len()], vec![f32::NAN; q.len()]];
            for (out, (k, v, n_kv_head)) in out
                .iter_mut()
                .zip([(&k, &v, n_kv_head), (&k_own, &v_own, n_head)])
            {
                let a = Attention {
                    q: &q,
                    n_q,
                    n_head,
                    n_kv_head,
                    d_head,
                    scale: 0.25,
                    parts: &[KvPart {
                        k,
                        v,
                        capacity,
                        range: 0..35,
                    }],
                    mask,
                };
                attention(&exec, &a, out);
            }
            assert_eq!(out[0], out[1], "{cpu:?} {mask:?}");
        }
    }
}

/// However many heads, queries and threads share the work, a query and head have one result.
#[test]
fn sharing_leaves_no_trace() {
    let (n_head, d_head, n_keys) = (12, 24, 150);
    let n_state = n_head * d_head;
    let [k, v] = [2, 3].map(|seed| {
        let x = noise(n_head * n_keys * d_head, seed);
        x.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>()
    });
    for cpu in Cpu::available() {
        for (n_q, n_kv_head) in [(1, 1), (1, 3), (17, 1), (17, 4), (9, 12)] {
            let n_past = n_keys - n_q;
            let q = noise(n_q * n_state, 1);
            let run = |n_threads, queries: std::ops::Range<usize>| {
                let part = KvPart {
                    k: &k[..n_kv_head * n_keys * d_head],
                    v: &v[..n_kv_head * n_keys * d_head],
                    capacity: n_keys,
                    range: 0..n_past + queries.end,
                };
                let a = Attention {
                    q: &q[queries.start * n_state..queries.end * n_state],
                    n_q: queries.len(),
                    n_head,
                    n_kv_head,
                    d_head,
                    scale: 0.2,
                    parts: &[part],
                    mask: Mask::Causal {
                        n_past: n_past + queries.start,
                    },
                };
                let mut out = vec![f32::NAN; a.q.len()];
                attention(&Exec::new(cpu, n_threads), &a, &mut out);
                out
            };
            let alone: Vec<f32> = (0..n_q).flat_map(|i| run(1, i..i + 1)).collect();
            assert!(alone.iter().all(|x| x.is_finite()));
            for n_threads in [1, 2, 7] {
                let what = format!("{cpu:?} {n_q} {n_kv_head} {n_threads}");
                assert_eq!(run(n_threads, 0..n_q), alone, "{what}");
            }
        }
    }
}

#[test]
fn kv_store_scatters_heads() {
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 1);
        let (n, n_head, d_head, capacity) = (3, 2, 8, 5);
        let x = noise(n * 40, 1);
        let args = KvStore {
            x: &x,
            row_stride: 40,
            offset: 20,
            n_head,
            d_head,
            capacity,
            at: 2,
            side: Side::Keys,
        };
        let mut cache = vec![f32::NAN; n_head * capacity * d_head];
        let mut cache16 = vec![f16::NAN; cache.len()];
        let mut turned = vec![bf16::from_f32(7.0); n_head * 32 * d_head];
        let values = KvStore {
            side: Side::Values,
            capacity: 32,
            ..args
        };
        kv_store(&exec, &values, &mut turned);
        kv_store(&exec, &args, &mut cache);
        kv_store(&exec, &args, &mut cache16);
        for head in 0..n_head {
            for position in 0..capacity {
                for c in 0..d_head {
                    let at = (head * capacity + position) * d_head + c;
                    if position < 2 {
                        assert!(cache[at].is_nan() && cache16[at].is_nan());
                    } else {
                        let expected = x[(position - 2) * 40 + 20 + head * d_head + c];
                        assert_eq!(cache[at], expected);
                        assert_eq!(cache16[at], f16::from_f32(expected));
                        let value = turned[(head * d_head + c) * 32 + position];
                        assert_eq!(value, bf16::from_f32(expected));
                    }
                }
            }
        }
    }
}

/// Keys and values of odd ranges in two caches, with NaN wherever nothing takes part.
#[test]
fn attention_in_bf16_equals_the_definition() {
    for cpu in Cpu::available() {
        let exec = Exec::new(cpu, 2);
        for (n_q, n_head, d_head, n, capacity) in [
            (1, 1, 32, 1, 1),
            (3, 2, 64, 5, 40),
            (17, 1, 64, 127, 300),
            (33, 3, 64, 129, 161),
            (65, 2, 96, 31, 300),
            (5, 2, 128, 260, 261),
            (31, 1, 64, 64, 64),
        ] {
            let rounded = |x: Vec<f32>| -> Vec<f32> {
                x.iter().map(|&x| bf16::from_f32(x).to_f32()).collect()
            };
            let n_state = n_head * d_head;
            let q = noise(n_q * n_state, 1);
            let k = rounded(noise(capacity * n_state, 2));
            let v = rounded(noise(capacity * n_state, 3));
            let room = capacity.next_multiple_of(BF16_ALIGN);
            let store = |range: std::ops::Range<usize>, side, x: &[f32]| {
                let mut cache = vec![bf16::NAN; room * n_state];
                let args = KvStore {
                    x: &x[range.start * n_state..range.end * n_state],
                    row_stride: n_state,
                    offset: 0,
                    n_head,
                    d_head,
                    capacity: room,
                    at: range.start,
                    side,
                };
                kv_store(&exec, &args, &mut cache);
                cache
            };
            let ranges = [0..n, n..capacity];
            let caches = ranges.clone().map(|range| {
                let k = store(range.clone(), Side::Keys, &k);
                (k, store(range, Side::Values, &v))
            });
            let part = |i: usize| KvPart {
                k: &caches[i].0[..],
                v: &caches[i].1[..],
                capacity: room,
                range: ranges[i].clone(),
            };
            let a = Attention {
                q: &q,
                n_q,
                n_head,
                n_kv_head: n_head,
                d_head,
                scale: 3.0 / (d_head as f32).sqrt(),
                parts: &[part(0), part(1)],
                mask: Mask::None,
            };
            // The same as one part in f32, head by head.
            let by_head = |x: &[f32]| {
                let mut cache = vec![0.0; x.len()];
                let args = KvStore {
                    x,
                    row_stride: n_state,
                    offset: 0,
                    n_head,
                    d_head,
                    capacity,
                    at: 0,
                    side: Side::Keys,
                };
                kv_store(&exec, &args, &mut cache);
                cache
            };
            let (k, v) = (by_head(&k), by_head(&v));
            let parts = [KvPart {
                k: &k[..],
                v: &v[..],
                capacity,
                range: 0..capacity,
            }];
            let reference = Attention {
                q: &q,
                n_q,
                n_head,
                n_kv_head: n_head,
                d_head,
                scale: a.scale,
                parts: &parts,
                mask: Mask::None,
            };
            let expected = attention64(&reference, |_, _| true);
            let mut out = vec![f32::NAN; q.len()];
            attention(&exec, &a, &mut out);
            // Queries and probabilities are rounded to 8 bits.
            let what = format!("{cpu:?} {n_q} {n_head} {d_head} {n} {capacity}");
            assert_close(&what, &out, &expected, 4e-3);
            let mut alone = vec![f32::NAN; n_state];
            let a = Attention {
                q: &q[(n_q - 1) * n_state..],
                n_q: 1,
                ..a
            };
            attention(&exec, &a, &mut alone);
            assert_eq!(alone, out[(n_q - 1) * n_state..], "{what}: by itself");
        }
    }
}
