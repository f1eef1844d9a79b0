cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
label: The best of several models
hints:
  comity:Output: {best: {type: model}}
baseCommand: python3
inputs:
  code: {type: File, default: {class: File, location: choose.py}, inputBinding: {position: 0}}
  models: {type: "File[]", inputBinding: {position: 1}}
outputs:
  best: {type: File, outputBinding: {glob: best.json}}
