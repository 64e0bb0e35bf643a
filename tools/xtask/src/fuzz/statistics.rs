//! What libFuzzer says at the end of a run.

/// A run in numbers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Statistics {
    /// Inputs that were tried.
    pub(super) executions: u64,
    /// Edges of the program that were passed.
    pub(super) coverage: u64,
    /// Inputs that were kept because they reached something new.
    pub(super) new: u64,
    /// Time on processors, in seconds.
    pub(super) cpu_seconds: f64,
}

impl Statistics {
    /// What the columns of [`row`](Self::row) are.
    pub(super) const HEADING: &str =
        "target               executions   coverage        new  CPU seconds";

    /// Reads what a run with `-print_final_stats=1` wrote.
    pub(super) fn read(said: &str) -> Self {
        let number = |text: &str| text.trim().parse().unwrap_or_default();
        let mut read = Self::default();
        for line in said.lines() {
            if let Some(units) = line.strip_prefix("stat::number_of_executed_units:") {
                read.executions = number(units);
            } else if let Some((_, after)) = line.split_once(" cov: ") {
                read.coverage = number(after.split(' ').next().unwrap_or_default());
            }
        }
        read
    }

    /// A line of the table.
    pub(super) fn row(&self, target: &str) -> String {
        let Self { executions, coverage, new, cpu_seconds } = self;
        format!("{target:<20} {executions:>10} {coverage:>10} {new:>10} {cpu_seconds:>12.0}")
    }

    /// Processor time of this process's ended children, in seconds; nothing where there is no /proc.
    pub(super) fn children_seconds() -> f64 {
        // Fields 16 and 17 of proc(5), in hundredths of a second; the second is in parentheses and may hold spaces.
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks = fields.split_whitespace().skip(13).take(2);
        ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_numbers_count() {
        let said = "#2\tINITED cov: 3 ft: 4 corp: 1/1b\n#900\tDONE   cov: 57 ft: 60 corp: 4/9b\n\
                    stat::number_of_executed_units: 900\nstat::average_exec_per_sec:     450\n";
        let read = Statistics::read(said);
        assert_eq!((read.executions, read.coverage), (900, 57));
        assert_eq!(Statistics::read("nothing"), Statistics::default());
        assert_eq!(read.row("cbor").len(), Statistics::HEADING.len());
    }
}
