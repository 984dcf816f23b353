// Text for editing a job.
import { texts } from "../say";

export const EDIT = texts({
  edit: ["Edit", "编辑"],
  title: ["Edit the job", "编辑任务信息"],
  name: ["Name", "名称"],
  labels: ["Labels, one key:value per line", "标签（每行一个 key:value）"],
  notes: ["Notes", "备注"],
  priority: ["Priority (−1000 to 1000; higher starts first)", "优先级（−1000 到 1000，数值大的先执行）"],
  spec_stays: ["The submitted settings of the run do not change.", "训练配置保持提交时的内容不变。"],
  save: ["Save", "保存"],
  reload: ["Discard my changes and reload", "放弃修改并重新加载"],
  overwrite: ["Overwrite", "覆盖"],
  archive: ["Archive", "归档"],
  restore: ["Restore from the archive", "取消归档"],
  is_archived: ["This job is archived. The list hides it.", "该任务已归档，不在任务列表中显示。"],
  bad_label: ['"{line}" is not a label. Write key:value.', "“{line}”不是有效的标签，格式应为 key:value。"],
});
