//! When something that grows is full: a straight line through what was measured.

/// Values that a forecast needs: two lie on a line in any case.
const FEWEST: usize = 3;
/// How many times larger than its uncertainty (its standard error) the growth must be. Few values lie on a
/// line by chance, and one jump among fourteen has six.
const CERTAIN: f64 = 7.0;
/// Days that a forecast may reach: five years.
const LONGEST: f64 = 5.0 * 365.25;

/// How a number went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// What it changes by in a day.
    pub by: f64,
    /// Whether the values lie along the line.
    is_steady: bool,
}

/// The line through values, each with its time in days; `None`: there are too few.
#[expect(clippy::cast_precision_loss, reason = "some days")]
pub fn trend(values: &[(f64, f64)]) -> Option<Trend> {
    if values.len() < FEWEST {
        return None;
    }
    let n = values.len() as f64;
    let mean_time = values.iter().map(|(time, _)| time).sum::<f64>() / n;
    let mean = values.iter().map(|(_, value)| value).sum::<f64>() / n;
    let (mut times, mut both, mut all) = (0.0, 0.0, 0.0);
    for (time, value) in values {
        let (time, value) = (time - mean_time, value - mean);
        times += time * time;
        both += time * value;
        all += value * value;
    }
    let by = (times > 0.0).then(|| both / times)?;
    let along = by * both;
    let beside = (all - along).max(0.0);
    Some(Trend {
        by,
        is_steady: along * (n - 2.0) >= CERTAIN * CERTAIN * beside,
    })
}

impl Trend {
    /// In how many days the rest is used up; `None`: it does not grow, not steadily, or not within five years.
    pub fn days_until(&self, rest: f64) -> Option<f64> {
        if self.by <= 0.0 || !self.is_steady {
            return None;
        }
        let days = rest.max(0.0) / self.by;
        (days <= LONGEST).then_some(days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(values: &[f64]) -> Option<Trend> {
        let days = (0..).map(f64::from);
        trend(&days.zip(values.iter().copied()).collect::<Vec<_>>())
    }

    #[test]
    fn what_grows_steadily_is_full_when_the_line_says() {
        let grows = daily(&[10.0, 12.0, 14.0, 16.0]).unwrap();
        assert!((grows.by - 2.0).abs() < 1e-9);
        assert!((grows.days_until(84.0).unwrap() - 42.0).abs() < 1e-6);
        assert_eq!(grows.days_until(-1.0), Some(0.0));
        // Beyond five years is no forecast.
        assert!(grows.days_until(2.0 * 1_826.0).is_some());
        assert_eq!(grows.days_until(2.0 * 1_827.0), None);
    }

    #[test]
    fn noise_on_steady_growth_does_no_harm() {
        let grows = daily(&[10.0, 12.6, 13.5, 16.4, 17.7, 20.3]).unwrap();
        assert!((grows.by - 2.0).abs() < 0.1, "{grows:?}");
        assert!(grows.days_until(20.0).is_some());
    }

    #[test]
    fn after_a_clean_up_half_way_there_is_no_forecast() {
        let cleaned = daily(&[50.0, 60.0, 70.0, 80.0, 50.0, 60.0, 70.0, 80.0]).unwrap();
        assert!(cleaned.by > 0.0);
        assert_eq!(cleaned.days_until(20.0), None);
        // One large file is no growth, either.
        assert_eq!(daily(&[1.0, 1.0, 5.0, 5.0]).unwrap().days_until(1.0), None);
    }

    #[test]
    fn what_stays_shrinks_or_jitters_is_never_full() {
        for values in [
            [5.0, 5.0, 5.0, 5.0, 5.0],
            [9.0, 8.0, 7.0, 6.0, 5.0],
            [5.0, 9.0, 4.0, 8.0, 6.0],
        ] {
            assert_eq!(daily(&values).unwrap().days_until(1.0), None, "{values:?}");
        }
        assert_eq!(daily(&[5.0; 4]).unwrap().by, 0.0);
    }

    #[test]
    fn three_values_that_go_up_by_chance_are_no_growth() {
        assert_eq!(daily(&[23.0, 24.5, 25.0]).unwrap().days_until(1.0), None);
        let jump: Vec<f64> = (0..14).map(|day| f64::from(day / 7)).collect();
        assert_eq!(daily(&jump).unwrap().days_until(1.0), None);
    }

    #[test]
    fn two_days_are_too_few() {
        assert_eq!(daily(&[]), None);
        assert_eq!(daily(&[1.0, 2.0]), None);
        assert!(daily(&[1.0, 2.0, 3.0]).is_some());
        // All at one time.
        assert_eq!(trend(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
    }
}
