//! What each role costs. Roles share cores, so a core's busy time says nothing of one of them: it is their threads that
//! are asked how long they ran.

use crate::cpu::CoreTimes;
use crate::topology::run_nanoseconds;
use anyhow::Result;
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a role has used since it was started.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Account {
    /// By its threads, as the scheduler counts: to the nanosecond.
    run: Duration,
    /// The same as the kernel splits it in user space and kernel, in ticks.
    user_ticks: u64,
    system_ticks: u64,
    /// By the kernel threads that receive for it.
    receiving: Duration,
    /// In interrupts on cores that are its own, where threads are not charged for them.
    interrupts: Duration,
}

/// What a role used over a time, in microseconds of CPU for each request.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub(super) struct Cost {
    /// Its threads in user space.
    pub(super) user_us: f64,
    /// Its threads in the kernel.
    pub(super) system_us: f64,
    /// The kernel's threads that receive packets for it.
    pub(super) receiving_us: f64,
    /// Interrupts, where they are told apart from threads.
    pub(super) interrupts_us: f64,
}

impl Cost {
    /// All of it.
    pub(super) fn total_us(self) -> f64 {
        self.user_us + self.system_us + self.receiving_us + self.interrupts_us
    }
}

impl Account {
    /// Adds what receiving for the role took.
    pub(super) fn with_receiving(self, receiving: Duration) -> Account {
        Account { receiving, ..self }
    }

    /// Adds what interrupts took on `cores`, which only this role uses.
    ///
    /// # Errors
    /// There is no such core.
    pub(super) fn with_interrupts(self, cores: &[usize]) -> Result<Account> {
        let since_start = |core: &usize| Ok(CoreTimes::read(*core)?.interrupted_since(CoreTimes::default()));
        let interrupts = match interrupts_are_apart() {
            true => cores.iter().map(since_start).sum::<Result<Duration>>()?,
            false => Duration::ZERO,
        };
        Ok(Account { interrupts, ..self })
    }

    /// All that was used since `earlier`.
    fn used_since(self, earlier: Account) -> Duration {
        self.run.saturating_sub(earlier.run)
            + self.receiving.saturating_sub(earlier.receiving)
            + self.interrupts.saturating_sub(earlier.interrupts)
    }

    /// What each of so many requests cost since `earlier`.
    fn cost_since(self, earlier: Account, requests: f64) -> Cost {
        let each = |span: Duration| span.as_secs_f64() * 1e6 / requests;
        let run = each(self.run.saturating_sub(earlier.run));
        let user = self.user_ticks.saturating_sub(earlier.user_ticks) as f64;
        let system = self.system_ticks.saturating_sub(earlier.system_ticks) as f64;
        let share = if user + system > 0.0 { user / (user + system) } else { 0.0 };
        Cost {
            user_us: run * share,
            system_us: run * (1.0 - share),
            receiving_us: each(self.receiving.saturating_sub(earlier.receiving)),
            interrupts_us: each(self.interrupts.saturating_sub(earlier.interrupts)),
        }
    }
}

/// The accounts of all roles at one moment.
#[derive(Clone, Debug)]
pub(super) struct Accounts {
    pub(super) at: Instant,
    pub(super) application: Account,
    /// Empty with kernel sockets.
    pub(super) tcp_server: Account,
    pub(super) client: Account,
    /// Every core that has a role.
    pub(super) cores: Vec<CoreTimes>,
}

/// What the roles cost between two moments.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Costs {
    pub(super) application: Cost,
    pub(super) tcp_server: Cost,
    pub(super) client: Cost,
    /// How much of the roles' cores anybody else used, from 0 to 1: what disturbed the measurement.
    pub(super) others_share: f64,
}

impl Costs {
    /// What happened from `before` to `after`, while so many requests were answered per second.
    pub(super) fn between(before: &Accounts, after: &Accounts, requests_per_second: f64) -> Costs {
        let elapsed = after.at.duration_since(before.at).as_secs_f64();
        let requests = requests_per_second * elapsed;
        let roles = [
            (after.application, before.application),
            (after.tcp_server, before.tcp_server),
            (after.client, before.client),
        ];
        let used: Duration = roles.iter().map(|(after, before)| after.used_since(*before)).sum();
        let busy: Duration = after.cores.iter().zip(&before.cores).map(|(now, then)| now.busy_since(*then)).sum();
        let [application, tcp_server, client] = roles.map(|(after, before)| after.cost_since(before, requests));
        let cores = before.cores.len().max(1) as f64;
        let others_share = busy.saturating_sub(used).as_secs_f64() / elapsed / cores;
        Costs { application, tcp_server, client, others_share }
    }

    /// What a request costs the server's side.
    pub(super) fn server_us(self) -> f64 {
        self.application.total_us() + self.tcp_server.total_us()
    }
}

/// Whether this kernel keeps interrupts out of the run time of the threads that they interrupt
/// (CONFIG_IRQ_TIME_ACCOUNTING, which also makes this file). Otherwise they are in it, and those that come while a core
/// is idle are nobody's.
pub(super) fn interrupts_are_apart() -> bool {
    Path::new("/proc/pressure/irq").exists()
}

/// What the processes of the group `leader`, and their descendants, have used.
pub(super) fn account_of(leader: u32) -> Account {
    let processes: Vec<_> = all_processes().collect();
    let mut account = Account::default();
    for process in family(leader, &processes) {
        account.user_ticks += process.user_ticks;
        account.system_ticks += process.system_ticks;
        let tasks = fs::read_dir(format!("/proc/{}/task", process.id)).into_iter().flatten().flatten();
        // One that ends meanwhile has used nothing any more.
        account.run += Duration::from_nanos(tasks.map(|task| run_nanoseconds(&task.path())).sum());
    }
    account
}

/// A process, by its `stat` file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Process {
    id: u32,
    parent: u32,
    group: u32,
    user_ticks: u64,
    system_ticks: u64,
}

fn all_processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| parse(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?))
}

/// The group and all that descends from it.
fn family(leader: u32, processes: &[Process]) -> Vec<Process> {
    let all = processes.iter().copied();
    let (mut family, mut rest): (Vec<Process>, Vec<Process>) = all.partition(|process| process.group == leader);
    loop {
        let is_child = |process: &Process| family.iter().any(|member| member.id == process.parent);
        let (children, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_child);
        if children.is_empty() {
            return family;
        }
        family.extend(children);
        rest = others;
    }
}

/// The name, in brackets, may hold anything.
fn parse(id: u32, stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let (parent, group) = (number(1)? as u32, number(2)? as u32);
    Some(Process { id, parent, group, user_ticks: number(11)?, system_ticks: number(12)? })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Costs as they could be: 10 us of the application's, so many of the TCP server's.
    pub(in super::super) fn example(tcp_server_us: f64) -> Costs {
        let cost = |user_us, system_us, receiving_us| Cost { user_us, system_us, receiving_us, interrupts_us: 0.0 };
        Costs {
            application: cost(2.0, 5.0, 3.0),
            tcp_server: cost(tcp_server_us, 0.0, 0.0),
            client: cost(1.0, 1.0, 1.0),
            others_share: 0.01,
        }
    }

    fn process(id: u32, parent: u32, group: u32) -> Process {
        Process { id, parent, group, user_ticks: 0, system_ticks: 0 }
    }

    #[test]
    fn a_role_is_a_group_and_all_that_descends_from_it() {
        let processes = [process(9, 8, 9), process(2, 1, 2), process(3, 2, 2), process(8, 3, 8), process(4, 1, 4)];
        let mut ids: Vec<_> = family(2, &processes).into_iter().map(|process| process.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [2, 3, 8, 9]);
    }

    #[test]
    fn a_name_with_brackets_does_not_mislead() {
        let stat = "7 (a) b) (c) S 5 6 6 0 -1 4194560 1 2 3 4 70 30 0 0 20 0 1 0 1 1 1";
        let expected = Process { id: 7, parent: 5, group: 6, user_ticks: 70, system_ticks: 30 };
        assert_eq!(parse(7, stat), Some(expected));
        assert_eq!((parse(7, "7 (a) S 5"), parse(7, "")), (None, None));
    }

    #[test]
    fn what_a_request_costs_is_what_was_used_meanwhile() {
        let at = Instant::now();
        let second = Duration::from_secs(1);
        let idle = Accounts {
            at,
            application: Account { run: second, user_ticks: 50, ..Account::default() },
            tcp_server: Account::default(),
            client: Account::default(),
            cores: vec![CoreTimes::default(); 2],
        };
        let application = Account {
            run: 2 * second,
            user_ticks: 75,
            system_ticks: 75,
            receiving: second / 2,
            interrupts: second / 4,
        };
        let tcp_server = Account { run: second / 10, ..Account::default() };
        let after = Accounts { at: at + 2 * second, application, tcp_server, ..idle.clone() };
        let costs = Costs::between(&idle, &after, 50_000.0);
        let Cost { user_us, system_us, receiving_us, interrupts_us } = costs.application;
        assert_eq!((user_us, system_us, receiving_us, interrupts_us), (2.5, 7.5, 5.0, 2.5));
        assert_eq!((costs.application.total_us(), costs.tcp_server.total_us()), (17.5, 1.0));
        assert_eq!((costs.client.total_us(), costs.server_us()), (0.0, 18.5));
    }

    #[test]
    fn what_nobody_of_ours_used_was_used_by_others() {
        let at = Instant::now();
        let idle = Accounts {
            at,
            application: Account::default(),
            tcp_server: Account::default(),
            client: Account::default(),
            cores: vec![CoreTimes::example(0), CoreTimes::example(0)],
        };
        let client = Account { run: Duration::from_secs(1), ..Account::default() };
        let cores = vec![CoreTimes::example(150), CoreTimes::example(50)];
        let after = Accounts { at: at + Duration::from_secs(2), client, cores, ..idle.clone() };
        assert_eq!(Costs::between(&idle, &after, 1.0).others_share, 0.25);
    }

    #[test]
    fn this_process_has_used_something() {
        let me = std::process::id();
        let group = parse(me, &fs::read_to_string("/proc/self/stat").unwrap()).unwrap().group;
        assert!(account_of(group).used_since(Account::default()) > Duration::ZERO);
        assert_eq!(account_of(u32::MAX), Account::default());
    }
}
