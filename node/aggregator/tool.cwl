cwlVersion: v1.2
class: CommandLineTool
label: The aggregator
doc: |
  Counts rows into a table of people by group, with sums, means and quantiles, and with what disclosure control needs to
  know of who contributed. Every node carries it and lets its tables out without an endorsement of its own, if it
  counted a dataset's rows by the column of which its owner says that it is a person's. «rows» is CSV or JSON lines;
  «spec» is a JSON text, such as {"person": "patient", "by": ["stage"], "measures": [{"sum": "cost"},
  {"quantile": "age", "at": "1/2"}], "where": {"year": ["2024", "2025"]}, "form": "csv"}; only "person" has to be there.
$namespaces: {comity: "urn:comity:cwl#"}
hints:
  comity:Output: {table: {type: table}}
baseCommand: python3
inputs:
  program: {type: File, default: {class: File, location: aggregate.py}, inputBinding: {position: 0}}
  rows: {type: File, inputBinding: {position: 1}}
  spec: {type: string, inputBinding: {position: 2}}
outputs:
  table: {type: File, outputBinding: {glob: table.json}}
