cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
label: Logistic regression
doc: Fits «malignant or not» to three measures by gradient descent, and says how well it does on what it has not seen.
hints:
  comity:Output: {model: {type: model}}
baseCommand: python3
inputs:
  code: {type: File, default: {class: File, location: train.py}, inputBinding: {position: 0}}
  table: {type: File, inputBinding: {position: 1}}
  rate: {type: float, inputBinding: {position: 2}}
outputs:
  model: {type: File, outputBinding: {glob: model.json}}
