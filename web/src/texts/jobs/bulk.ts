// Text for the actions on several selected jobs.
import { texts } from "../say";

export const BULK = texts({
  title: ["Bulk action", "批量操作"],
  label: ["Label", "标签"],
  archive: ["Archive", "归档"],
  restore: ["Restore", "取消归档"],
  cancel: ["Cancel", "取消任务"],
  delete: ["Delete", "删除"],

  sure_cancel: [
    "Cancel {n} {n:job|jobs}? Queued and paused jobs end immediately, running ones as soon as their workers have stopped.",
    "取消 {n} 个任务？排队中和已暂停的任务会立即结束，运行中的任务在其工作节点停止后结束。",
  ],
  do_cancel: ["Cancel {n} {n:job|jobs}", "取消 {n} 个任务"],
  sure_delete: [
    "Delete {n} {n:job with its|jobs with their} history, checkpoints and {n:adapter|adapters}? This cannot be undone. Running jobs are not deleted.",
    "删除 {n} 个任务及其历史记录、检查点和适配器？此操作无法撤销。运行中的任务不会被删除。",
  ],
  do_delete: ["Delete {n} {n:job|jobs}", "删除 {n} 个任务"],
  sure_archive: [
    "Archive {n} {n:job|jobs}? The list hides archived jobs. Only jobs that have ended can be archived.",
    "归档 {n} 个任务？归档后任务不再出现在列表中。只能归档已结束的任务。",
  ],
  do_archive: ["Archive {n} {n:job|jobs}", "归档 {n} 个任务"],
  sure_restore: ["Restore {n} {n:job|jobs} from the archive?", "将 {n} 个任务取消归档？"],
  do_restore: ["Restore {n} {n:job|jobs}", "取消归档 {n} 个任务"],
  sure_label: [
    "Change a label of {n} {n:job|jobs}. Their other labels are kept.",
    "修改 {n} 个任务的一个标签，其他标签保持不变。",
  ],
  do_label: ["Change {n} {n:job|jobs}", "修改 {n} 个任务"],
  label_kind: ["Change", "操作"],
  label_set: ["Set", "设置"],
  label_remove: ["Remove", "删除"],
  label_text: ["Label to change", "要修改的标签"],
  label_key: ["key", "key"],

  progress: ["{done} of {total} {total:job|jobs}", "已处理 {done} / {total} 个任务"],
  finished: ["Done for {done} of {total} {total:job|jobs}.", "共 {total} 个任务，成功 {done} 个。"],
  rejected: ["Not possible for {n} {n:job|jobs}:", "{n} 个任务操作失败："],
  more: ["and {n} more", "另有 {n} 个"],
  not_sent: [
    "Stopped before {n} {n:job. It is|jobs. They are} unchanged and still selected.",
    "已停止，剩余 {n} 个任务未处理，仍处于选中状态。",
  ],
  stop: ["Stop", "停止"],
  retry: ["Try again", "重试"],
  close: ["Close", "关闭"],
});
