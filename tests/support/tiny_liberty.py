"""A Liberty file of a dozen cells with round numbers: delays are linear in load and transition time."""

from pathlib import Path

#: Delay in ps: intrinsic + SLEW_SHARE * transition time + slope * load.
SLEW_SHARE = 0.1
SETUP_PS = 7.0
#: Capacitance of every input, fF.
PIN_FF = 1.0

_HEADER = """library ({name}) {{
  delay_model : table_lookup;
  time_unit : "1ps";
  voltage_unit : "{voltage_unit}";
  capacitive_load_unit (1, ff);
  leakage_power_unit : "1pW";
  nom_voltage : {voltage};
  nom_temperature : 25;
  slew_lower_threshold_pct_rise : 10;
  slew_upper_threshold_pct_rise : 90;
  lu_table_template (delay) {{
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    index_1 ("0, 100");
    index_2 ("0, 10");
  }}
  lu_table_template (swapped) {{
    variable_1 : total_output_net_capacitance;
    variable_2 : input_net_transition;
    index_1 ("0, 10");
    index_2 ("0, 100");
  }}
  lu_table_template (constraint) {{
    variable_1 : constrained_pin_transition;
    variable_2 : related_pin_transition;
    index_1 ("0, 100");
    index_2 ("0, 100");
  }}
"""

#: Function, area, intrinsic delay and slope of the cells of one output Y.
GATES = {
    "INV": ("!A", 1, 5, 2),
    "BUF": ("A", 2, 10, 1),
    "NAND": ("!(A * B)", 2, 8, 3),
    "NOR": ("!(A + B)", 2, 8, 3),
    "XOR": ("A ^ B", 4, 12, 3),
    "XNOR": ("!(A ^ B)", 4, 12, 3),
    "MAJ": ("(A * B) + (A * C) + (B * C)", 5, 20, 4),
    "WEAK": ("!(A * B * C)", 2, 9, 30),
}


def _table(name: str, intrinsic: float, slope: float) -> str:
    low, high = intrinsic, intrinsic + 10 * slope
    rows = f'"{low}, {high}", "{low + 100 * SLEW_SHARE}, {high + 100 * SLEW_SHARE}"'
    return f"{name} (delay) {{ values ({rows}); }}"


def _timing(related: str, intrinsic: float, slope: float, sense: str, kind: str = "combinational") -> str:
    tables = " ".join(
        (
            _table("cell_rise", intrinsic, slope),
            _table("cell_fall", intrinsic + 1, slope),
            _table("rise_transition", 10, slope),
            _table("fall_transition", 10, slope),
        )
    )
    return (
        f'timing () {{ related_pin : "{related}"; timing_sense : {sense}; timing_type : {kind}; {tables} }}'
    )


def _input(name: str, extra: str = "") -> str:
    return f"pin ({name}) {{ direction : input; capacitance : {PIN_FF}; {extra} }}\n"


def _output(name: str, function: str, timing: str) -> str:
    return f'pin ({name}) {{ direction : output; max_capacitance : 40; function : "{function}"; {timing} }}\n'


def _gate(name: str, function: str, area: float, intrinsic: float, slope: float) -> str:
    pins = [pin for pin in "ABC" if pin in function]
    sense = "positive_unate" if name in {"BUF", "MAJ"} else "negative_unate"
    sense = "non_unate" if "X" in name else sense
    timing = " ".join(_timing(pin, intrinsic, slope, sense) for pin in pins)
    power = (
        'internal_power () { related_pin : "A"; related_pg_pin : VDD; '
        'rise_power (scalar) { values ("0.5"); } fall_power (scalar) { values ("-0.25"); } }'
    )
    leakage = 'leakage_power () { value : 40; } leakage_power () { when : "A"; value : 60; }'
    body = "".join(map(_input, pins)) + _output("Y", function, f"{timing} {power}")
    return f"cell ({name}) {{ area : {area}; {leakage}\n{body}}}\n"


def _adder(name: str, area: float, total: str, carry: str, pins: str) -> str:
    sums = " ".join(_timing(pin, 30, 4, "non_unate") for pin in pins)
    carries = " ".join(_timing(pin, 20, 4, "negative_unate") for pin in pins)
    body = "".join(map(_input, pins)) + _output("SN", total, sums) + _output("CON", carry, carries)
    return f"cell ({name}) {{ area : {area};\n{body}}}\n"


def _flip_flop(name: str, area: float, output: str, state: str) -> str:
    table = f'values ("{SETUP_PS}, {SETUP_PS}", "{SETUP_PS}, {SETUP_PS}");'
    edges = f"rise_constraint (constraint) {{ {table} }} fall_constraint (constraint) {{ {table} }}"
    setup = f'timing () {{ related_pin : "CLK"; timing_type : setup_rising; {edges} }}'
    clocked = _timing("CLK", 25, 2, "non_unate", "rising_edge")
    body = _input("CLK", "clock : true;") + _input("D", setup) + _output(output, "IQ", clocked)
    state_group = f'ff (IQ, IQN) {{ clocked_on : "CLK"; next_state : "{state}"; }}'
    return f"cell ({name}) {{ area : {area};\n{body}{state_group}\n}}\n"


def tiny_liberty(
    folder: Path, *, name: str = "tiny", voltage: float = 0.5, voltage_unit: str = "1V", more: str = ""
) -> Path:
    """Write the file and return its path; `more` goes in at the library's end."""
    cells = [_gate(gate, *values) for gate, values in GATES.items()]
    cells += [
        _adder("FA", 7, "!(A ^ B ^ C)", "!((A * B) + (A * C) + (B * C))", "ABC"),
        _adder("HA", 4, "!(A ^ B)", "!(A * B)", "AB"),
        _flip_flop("DFFN", 8, "QN", "!D"),
        _flip_flop("DFF", 10, "Q", "D"),
    ]
    header = _HEADER.format(name=name, voltage=voltage, voltage_unit=voltage_unit)
    path = folder / f"{name}.lib"
    path.write_text(f"{header}{''.join(cells)}{more}}}\n")
    return path
