//! try
use std::time::Duration;
use xtask::lab::*;
fn main() -> anyhow::Result<()> {
    interrupt::install()?;
    let args: Vec<String> = std::env::args().collect();
    let sb = sandbox::Sandbox::new(&sandbox::Options::default())?;
    let srvprog = args.get(3).cloned().unwrap_or("pass".into());
    let link = programs::Lab::load(programs::Tables::Tiny)?.attach(&srvprog, sb.server(), "srv0")?;
    let cpu = Some(thread::last_cpu()?);
    let server = http::Server::start(sb.server(), cpu)?;
    let client = http::Client::start(sb.client(), cpu)?;
    let a = attack::named(&args[1])?;
    let n: u64 = args[2].parse()?;
    let show = |what: &str| -> anyhow::Result<()> {
        let t0 = sb.traffic(sandbox::Ns::Server, "srv0")?;
        client.take();
        interrupt::sleep(Duration::from_secs(2))?;
        let h = client.take();
        let t = sb.traffic(sandbox::Ns::Server, "srv0")?;
        println!("{what}: rx/s {} tx/s {} req/s {} fail {} p50 {:?} p99 {:?}", (t.received-t0.received)/2, (t.sent-t0.sent)/2, h.answered/2, h.failed, h.quantile(0.5), h.quantile(0.99));
        Ok(())
    };
    show("calm")?;
    let f = flood::Flood::start(&sb, &a, flood::Options { pace: if n == 0 { flood::Pace::Full } else { flood::Pace::PerSecond(n) }, cpu, first: args.get(4).is_some() })?;
    for _ in 0..2 { let s=f.sent(); show("flood")?; println!("  sent/s {}", (f.sent()-s)/2); }
    let s = f.finish()?;
    println!("sent {s}");
    show("calm")?;
    drop((link, server, client));
    Ok(())
}
