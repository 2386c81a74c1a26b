//! What may be done in a minute, so that nobody who pulses makes the daemon work.

use std::time::Duration;

/// How much an action matters while they are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It stops what comes in, and may use all there is.
    Defence,
    /// It limits what comes in, and leaves a quarter.
    Limit,
    /// It keeps somebody out, and leaves half.
    Ban,
}

/// A second more than a minute: the seconds at both ends are counted only in part.
const SECONDS: usize = 61;

/// Actions by the second, over the last minute.
#[derive(Debug)]
pub struct Budget {
    taken: [u32; SECONDS],
    second: u64,
    put_off: u64,
    told: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            taken: [0; SECONDS],
            second: 0,
            put_off: 0,
            told: false,
        }
    }
}

impl Budget {
    /// Forgets what is more than a minute ago.
    pub fn advance(&mut self, elapsed: Duration) {
        let second = elapsed.as_secs();
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        for back in 0..passed {
            let index = second.wrapping_sub(back) % SECONDS as u64;
            if let Some(taken) = self.taken.get_mut(index as usize) {
                *taken = 0;
            }
        }
        self.second = self.second.max(second);
    }

    /// Takes one of `most` actions a minute; `false` if there is none left for this.
    pub fn take(&mut self, urgency: Urgency, most: u32) -> bool {
        let share = match urgency {
            Urgency::Defence => most,
            Urgency::Limit => most.saturating_sub(most / 4),
            Urgency::Ban => most / 2,
        };
        if self.used() >= u64::from(share) {
            self.put_off = self.put_off.saturating_add(1);
            return false;
        }
        let index = self.second % SECONDS as u64;
        if let Some(taken) = self.taken.get_mut(index as usize) {
            *taken = taken.saturating_add(1);
        }
        true
    }

    /// What is said, once, when the bound is met.
    pub fn notice(&mut self, most: u32) -> Option<String> {
        let met = std::mem::take(&mut self.put_off) > 0;
        if !met && self.used() < u64::from(most / 4) {
            self.told = false;
        }
        if !met || std::mem::replace(&mut self.told, true) {
            return None;
        }
        Some(format!(
            "{} actions within a minute: more wait, bans first, then limits; `actions` under \
             [detection] is the bound, {most}",
            self.used()
        ))
    }

    fn used(&self) -> u64 {
        self.taken.iter().map(|taken| u64::from(*taken)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn defences_find_room_where_bans_used_theirs() {
        let mut budget = Budget::default();
        let take = |budget: &mut Budget, urgency| {
            std::iter::repeat_with(|| budget.take(urgency, 60))
                .take_while(|taken| *taken)
                .count()
        };
        assert_eq!(take(&mut budget, Urgency::Ban), 30);
        assert_eq!(take(&mut budget, Urgency::Limit), 15);
        assert_eq!(take(&mut budget, Urgency::Defence), 15);
        assert!(
            budget
                .notice(60)
                .is_some_and(|text| text.contains("60 actions"))
        );
        assert!(!budget.take(Urgency::Defence, 60));
        assert_eq!(budget.notice(60), None, "said once");
    }

    proptest! {
        #[test]
        fn no_minute_has_more(
            most in 0..40_u32,
            waits in prop::collection::vec(0..2_500_u64, 0..600),
        ) {
            let mut budget = Budget::default();
            let mut elapsed = Duration::ZERO;
            let mut taken: VecDeque<Duration> = VecDeque::new();
            for wait in waits {
                elapsed += Duration::from_millis(wait);
                budget.advance(elapsed);
                if budget.take(Urgency::Defence, most) {
                    taken.push_back(elapsed);
                }
                taken.retain(|at| elapsed - *at < Duration::from_secs(60));
                prop_assert!(taken.len() <= most as usize);
            }
        }
    }
}
