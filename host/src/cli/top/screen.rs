//! How it looks: a line of the whole, its curve, and a table each for routes, upstreams and plugins. Colours only add to what the words say.

use crate::app::{PluginRow, RouteRow, Sight, UpstreamRow};
use ratatui::backend::TestBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table};
use ratatui::{Frame, Terminal};
use std::collections::VecDeque;

/// What is printed where there is no terminal: wide enough for long names.
const WIDTH: u16 = 120;

pub fn draw(frame: &mut Frame<'_>, sight: Option<&Sight>, rates: &VecDeque<f64>) {
    let Some(sight) = sight else {
        frame.render_widget(Paragraph::new("looking …   q ends"), frame.area());
        return;
    };
    // A table has two lines of frame and one of names.
    let lines = |rows: usize| u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(3);
    let [head, curve, routes, upstreams, plugins, refusals] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(4),
        Constraint::Fill(2),
        Constraint::Max(lines(sight.upstreams.len())),
        Constraint::Max(lines(sight.plugins.len())),
        Constraint::Max(lines(sight.refusals.len().min(8))),
    ])
    .areas(frame.area());
    let rates_now = Line::from(format!("{:.1} requests/s, {:.1} of them 5xx        q ends", sight.rate, sight.errors));
    let rates_now = if sight.errors > 0.0 { rates_now.red() } else { rates_now };
    frame.render_widget(Paragraph::new(vec![Line::from(sight.standing.as_str()).bold(), rates_now]), head);
    draw_curve(frame, curve, rates);
    frame.render_widget(routes_table(&sight.routes), routes);
    frame.render_widget(upstreams_table(&sight.upstreams), upstreams);
    frame.render_widget(plugins_table(&sight.plugins), plugins);
    let refused: Vec<Line<'_>> = sight.refusals.iter().map(|one| Line::from(one.as_str())).collect();
    frame.render_widget(Paragraph::new(refused).block(Block::bordered().title("refused lately (portcullis why TOKEN)")), refusals);
}

/// The same as text.
pub fn text(sight: &Sight, rates: &VecDeque<f64>) -> String {
    let rows = sight.routes.len() + sight.upstreams.len() + sight.plugins.len() + sight.refusals.len().min(8);
    let height = u16::try_from(rows + 18).unwrap_or(u16::MAX);
    // It draws into memory, which cannot fail.
    let Ok(mut terminal) = Terminal::new(TestBackend::new(WIDTH, height));
    let Ok(_) = terminal.draw(|frame| draw(frame, Some(sight), rates));
    let buffer = terminal.backend().buffer();
    let line = |y| (0..WIDTH).filter_map(|x| Some(buffer.cell((x, y))?.symbol())).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn draw_curve(frame: &mut Frame<'_>, area: Rect, rates: &VecDeque<f64>) {
    let width = usize::from(area.width.saturating_sub(2));
    let points: Vec<u64> = rates.iter().skip(rates.len().saturating_sub(width)).map(|rate| rate.round().max(0.0) as u64).collect();
    frame.render_widget(Sparkline::default().data(&points).block(Block::bordered().title("requests/s")), area);
}

fn routes_table(rows: &[RouteRow]) -> Table<'_> {
    let row = |row: &RouteRow| {
        let mean = row.mean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.1}"));
        let style = if row.server_errors > 0.0 { Style::new().red() } else { Style::new() };
        Row::new([row.name.clone(), row.to.clone(), rate(row.rate), rate(row.client_errors), rate(row.server_errors), mean]).style(style)
    };
    let widths = [Constraint::Fill(3), Constraint::Fill(1), FIGURE, FIGURE, FIGURE, FIGURE];
    table("routes", rows.iter().map(row).collect(), widths, ["site and route", "to", "per s", "4xx/s", "5xx/s", "mean ms"])
}

fn upstreams_table(rows: &[UpstreamRow]) -> Table<'_> {
    let row = |row: &UpstreamRow| {
        let servers = if row.drained > 0 { format!("{} ({} taken out)", row.servers, row.drained) } else { row.servers.to_string() };
        let figures = [rate(row.rate), row.active.to_string(), row.idle.to_string(), rate(row.retries), rate(row.failures)];
        let style = if row.failures > 0.0 { Style::new().red() } else { Style::new() };
        Row::new([row.name.clone(), servers].into_iter().chain(figures)).style(style)
    };
    let widths = [Constraint::Fill(3), Constraint::Fill(1), FIGURE, FIGURE, FIGURE, FIGURE, FIGURE];
    table("upstreams", rows.iter().map(row).collect(), widths, ["name", "servers", "per s", "running", "idle", "retries/s", "failed/s"])
}

fn plugins_table(rows: &[PluginRow]) -> Table<'_> {
    let row = |row: &PluginRow| {
        let cpu = row.cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.2}"));
        let memory = format!("{:.1}", row.memory as f64 / f64::from(1 << 20));
        let style = if row.faults > 0 { Style::new().yellow() } else { Style::new() };
        Row::new([row.name.clone(), rate(row.rate), cpu, row.faults.to_string(), row.guests.to_string(), memory]).style(style)
    };
    let widths = [Constraint::Fill(4), FIGURE, FIGURE, FIGURE, FIGURE, FIGURE];
    table("plugins", rows.iter().map(row).collect(), widths, ["name", "calls/s", "µs each", "faults", "guests", "MiB"])
}

const FIGURE: Constraint = Constraint::Length(10);

fn table<'t, const N: usize>(title: &'t str, rows: Vec<Row<'t>>, widths: [Constraint; N], names: [&'t str; N]) -> Table<'t> {
    let names = Row::new(names.map(Cell::from)).style(Style::new().bold());
    Table::new(rows, widths).header(names).block(Block::bordered().title(title))
}

fn rate(rate: f64) -> String {
    if rate == 0.0 { "0".to_owned() } else { format!("{rate:.1}") }
}
