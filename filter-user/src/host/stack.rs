//! What the stack and the cards lost, and how busy the CPUs are.

use std::{fs, path::Path};

use crate::detect::input::Stack;

/// Reads again and again; the shares are those since the time before.
#[derive(Debug, Default)]
pub struct Watch {
    before: Vec<Times>,
}

/// What a card says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// Packets that it or its driver lost before the filter; `None` if it does not say.
    pub lost: Option<u64>,
    /// Speed of the link in bits a second, if it has one.
    pub speed: Option<u64>,
}

/// How a CPU spent its time since boot, in the kernel's ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    softirq: u64,
    idle: u64,
    all: u64,
}

impl Watch {
    /// Looks. What cannot be read is zero.
    pub fn look(&mut self) -> Stack {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let netstat = text("/proc/net/netstat");
        let udp = column(&text("/proc/net/snmp"), "Udp:", "RcvbufErrors");
        let udp6 = line(&text("/proc/net/snmp6"), "Udp6RcvbufErrors");
        let now = times(&text("/proc/stat"));
        let (softirq, idle) = shares(&self.before, &now);
        self.before = now;
        Stack {
            // Those that overflowed a queue are among those that were dropped.
            listen_drops: column(&netstat, "TcpExt:", "ListenDrops").unwrap_or(0),
            cookies_sent: column(&netstat, "TcpExt:", "SyncookiesSent").unwrap_or(0),
            udp_drops: udp.unwrap_or(0).saturating_add(udp6.unwrap_or(0)),
            backlog_drops: backlog_drops(&text("/proc/net/softnet_stat")),
            softirq,
            idle,
        }
    }
}

/// What the card of an interface says.
pub fn card(interface: &str) -> Card {
    card_in(&Path::new("/sys/class/net").join(interface))
}

fn card_in(folder: &Path) -> Card {
    let number = |name: &str| -> Option<u64> {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse().ok()
    };
    let lost = ["rx_missed_errors", "rx_fifo_errors", "rx_dropped"]
        .iter()
        .filter_map(|name| number(&format!("statistics/{name}")))
        .reduce(u64::saturating_add);
    // -1 where there is no link.
    let speed = number("speed").filter(|speed| *speed > 0);
    Card {
        lost,
        speed: speed.map(|megabits| megabits.saturating_mul(1_000_000)),
    }
}

/// The number in the column of this name, where a line of names stands before one of numbers.
fn column(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let names = lines.next()?.split_ascii_whitespace();
    let numbers = lines.next()?.split_ascii_whitespace();
    let mut columns = names.zip(numbers);
    columns
        .find(|(found, _)| *found == name)
        .and_then(|(_, number)| number.parse().ok())
}

/// The number in the line of this name.
fn line(text: &str, name: &str) -> Option<u64> {
    let mut lines = text
        .lines()
        .filter_map(|line| line.split_once(char::is_whitespace));
    let (_, number) = lines.find(|(found, _)| *found == name)?;
    number.trim().parse().ok()
}

/// The second column, in hexadecimal, of each CPU's line.
fn backlog_drops(text: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(1))
        .filter_map(|number| u64::from_str_radix(number, 16).ok())
        .fold(0, u64::saturating_add)
}

/// Of each CPU: user, nice, system, idle, iowait, irq, softirq, steal; time of guests is in the
/// first two already.
fn times(text: &str) -> Vec<Times> {
    let is_one = |line: &&str| {
        let number = line
            .strip_prefix("cpu")
            .and_then(|rest| rest.bytes().next());
        number.is_some_and(|byte| byte.is_ascii_digit())
    };
    text.lines()
        .filter(is_one)
        .map(|line| {
            let mut numbers = [0_u64; 8];
            let columns = line.split_ascii_whitespace().skip(1);
            for (number, column) in numbers.iter_mut().zip(columns) {
                *number = column.parse().unwrap_or(0);
            }
            let [.., idle, waiting, _, softirq, _] = numbers;
            Times {
                softirq,
                idle: idle.saturating_add(waiting),
                all: numbers.iter().copied().fold(0, u64::saturating_add),
            }
        })
        .collect()
}

/// The share of the busiest CPU's time that soft interrupts took, and that of all that was idle.
/// Nobody knows it at the first look; CPUs that came since do not count.
fn shares(before: &[Times], now: &[Times]) -> (f32, f32) {
    let spent: Vec<Times> = before
        .iter()
        .zip(now)
        .map(|(before, now)| Times {
            softirq: now.softirq.saturating_sub(before.softirq),
            idle: now.idle.saturating_sub(before.idle),
            all: now.all.saturating_sub(before.all),
        })
        .collect();
    let share = |part: u64, all: u64| match all {
        0 => 0.0,
        all => part as f32 / all as f32,
    };
    let softirq = spent.iter().map(|cpu| share(cpu.softirq, cpu.all));
    let sum = |of: fn(&Times) -> u64| spent.iter().map(of).fold(0, u64::saturating_add);
    (
        softirq.fold(0.0, f32::max),
        share(sum(|cpu| cpu.idle), sum(|cpu| cpu.all)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_found_by_name() {
        let netstat = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\n\
                       TcpExt: 7 2 9\nIpExt: InNoRoutes\nIpExt: 4\n";
        assert_eq!(column(netstat, "TcpExt:", "ListenDrops"), Some(9));
        assert_eq!(column(netstat, "TcpExt:", "SyncookiesSent"), Some(7));
        assert_eq!(column(netstat, "TcpExt:", "InNoRoutes"), None);
        assert_eq!(
            column("TcpExt: ListenDrops\n", "TcpExt:", "ListenDrops"),
            None
        );
        let snmp6 = "Udp6InErrors    \t1\nUdp6RcvbufErrors\t12\n";
        assert_eq!(line(snmp6, "Udp6RcvbufErrors"), Some(12));
        let softnet = "0000ff 00000010 0\n0000aa 00000002 0\n";
        assert_eq!(backlog_drops(softnet), 18);
    }

    #[test]
    fn the_busiest_cpu_and_the_idle_time_of_all_are_told() {
        let first = times(
            "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 10 0 0 80 10 0 0 0 5 0\ncpu1 0 0 0 0 0 0 0 0\nintr 5\n",
        );
        assert_eq!(first.len(), 2);
        assert_eq!((first[0].all, first[0].idle), (100, 90));
        let second = times("cpu0 20 0 0 130 20 0 30 0\ncpu1 0 0 0 20 0 0 80 0\n");
        let (softirq, idle) = shares(&first, &second);
        assert!((softirq - 0.8).abs() < 1e-6, "{softirq}");
        assert!((idle - 0.4).abs() < 1e-6, "{idle}");
        assert_eq!(shares(&[], &second), (0.0, 0.0));
    }

    #[test]
    fn cards_say_what_they_lost_and_how_fast_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(card_in(folder.path()), Card::default());
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
        fs::create_dir(folder.path().join("statistics")).expect("a folder");
        write("statistics/rx_missed_errors", "5\n").expect("written");
        write("statistics/rx_dropped", "2\n").expect("written");
        write("speed", "-1\n").expect("written");
        let card = card_in(folder.path());
        assert_eq!((card.lost, card.speed), (Some(7), None));
        write("speed", "25000\n").expect("written");
        assert_eq!(card_in(folder.path()).speed, Some(25_000_000_000));
    }

    #[test]
    fn this_host_can_be_read() {
        let mut watch = Watch::default();
        watch.look();
        assert!(!watch.before.is_empty());
        let stack = watch.look();
        assert!((0.0..=1.0).contains(&stack.idle) && (0.0..=1.0).contains(&stack.softirq));
    }
}
