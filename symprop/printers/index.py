def equation_text(e):
    op = {"sum": "+=", "max": "max=", "set": ":="}[e.reduce]
    return f"{e.target} {op} {e.value}  over {e.over}"


def recurrence_text(r):
    return f"for {r.index} rev={r.reverse}:\n  " + "\n  ".join(map(equation_text, r.equations))


def program_text(p):
    return "\n".join(map(str, p.equations))
