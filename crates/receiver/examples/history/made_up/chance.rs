//! Numbers that look like those of real facilities, the same for the same seed.

use fastrand::Rng;

/// True in so many of all cases (0 to 1).
pub fn happens(rng: &mut Rng, in_all: f64) -> bool {
    rng.f64() < in_all
}

/// Around a mean, with a standard deviation: a sum of twelve is close enough to the bell curve.
pub fn around(rng: &mut Rng, mean: f64, deviation: f64) -> f64 {
    let sum: f64 = (0..12).map(|_| rng.f64()).sum();
    mean + (sum - 6.0) * deviation
}

/// Many short and few long ones: a log-normal with this median; `spread` is the deviation of the logarithm.
pub fn long_tailed(rng: &mut Rng, median: f64, spread: f64) -> f64 {
    median * around(rng, 0.0, spread).exp()
}

/// Somewhere between.
pub fn between(rng: &mut Rng, from: f64, to: f64) -> f64 {
    from + rng.f64() * (to - from)
}

/// To so many digits behind the point.
pub fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (number * scale).round() / scale
}
