cwlVersion: v1.2
class: Workflow
label: Learning rates, tried side by side
requirements: {ScatterFeatureRequirement: {}}
inputs:
  table: File
  rates: float[]
steps:
  train: {run: "comity:TRAIN", scatter: rate, in: {table: table, rate: rates}, out: [model]}
  choose: {run: "comity:CHOOSE", in: {models: train/model}, out: [best]}
outputs:
  best: {type: File, outputSource: choose/best}
