# What the bot says, in English: the file that every other language is measured by.
#
# HTML of Telegram's tags (b, i, code, pre, blockquote) stands in messages; arguments come escaped. Messages named
# button-, answer-, command-, refused-, invoice- and example- are shown without markup. Amounts of credits are text.
# To add a language, copy this file to its IETF tag (pt-br.ftl) and translate it; nothing else names it.

language-name = English

## Beginning

welcome =
    👋 Welcome, { $name }. I build software: you say in your own words what it should do; I plan it, write it, test it and hand you the files.

    You have <b>{ $credits } credits</b> to start with. You see the price before anything is built, and you pay only for what is used.

    Tell me what you need, or begin with an example:
welcome-without-credits =
    👋 Welcome, { $name }. I build software: you say in your own words what it should do; I plan it, write it, test it and hand you the files.

    You see the price in credits before anything is built, and you pay only for what is used. /buy gets you credits.

    Tell me what you need, or begin with an example:
welcome-back =
    👋 Welcome back, { $name }. You have <b>{ $credits } credits</b> and { $projects ->
        [0] no project yet
        [one] one project
       *[other] { $projects } projects
    }.

    Tell me what to build next, or choose:
help =
    <b>How it works</b>
    1. You describe what you need. A message, a forwarded text or a .txt or .md file will do.
    2. I may ask a few questions. Touch an answer, write your own, or let me decide.
    3. You get a plan and its price. Nothing is built before you say so.
    4. I build it step by step and test each step. One message shows how far it is.
    5. You get the files as a zip, with how to run them and what it cost.

    You can write to me at any time: what you say reaches whoever is working on your project.

    <b>Commands</b>
    /new – a new project
    /projects – your projects
    /status – how far the project is
    /pause, /resume, /cancel – stop for a while, go on, stop for good
    /download – the files so far
    /refine – change a file of a finished project
    /credits, /buy, /history – what you have, get more, where it went
    /settings – language and your data

    <b>Written out</b>
    <code>implement task 2 of project ID</code>
    <code>refine file PATH in project ID with instruction: TEXT</code>
describe =
    <b>What shall I build?</b>

    Say what it should do, for whom, and what you would see when it works. A few sentences are enough; I ask about the rest.

    Or begin with an example:
small-talk =
    Hello. I build software: tell me what you need in a sentence or two, and you get a plan and a price before anything is built.

    Or begin with an example:

example-1-label = 💸 Keep track of what I spend
example-1-brief = A small program that keeps track of what I spend: amount, category and date. It shows totals by month and by category, and keeps everything in one file on my computer.
example-2-label = 🗂 Tidy up my photos
example-2-brief = A program that sorts the photos of a folder into folders by year and month. It never overwrites or deletes a photo, and tells me at the end what it moved where.
example-3-label = 📅 Appointments for a small shop
example-3-brief = A web page for a hairdresser: customers see the free times of the week and book one with their name and phone number. The owner sees the bookings of each day on a page of their own.

brief-too-short =
    That is very little to go on:
    <blockquote>{ $brief }</blockquote>
    Shall I begin with it and ask you about the rest, or would you rather say a little more? Just write it.
which-project =
    Which project is this about?
    <blockquote>{ $text }</blockquote>
never-mind = All right, left as it was.
fits-nothing =
    I am not sure what to do with that. To build something, say what it should do; to go on with a project, choose it from your projects.
unknown-command = There is no command { $command }. /help lists what there is.
text-too-long =
    That is longer than I can take at once: at most { $most } bytes fit. Keep what the software must do and leave out examples of data. Nothing was started.
unsupported =
    I cannot use { $what }, only words. Please write what you would like, or send it as a .txt or .md file.
unsupported-sticker = a sticker
unsupported-voice = a voice message
unsupported-audio = a sound file
unsupported-photo = a picture
unsupported-video = a video
unsupported-video-note = a video message
unsupported-animation = an animation
unsupported-location = a location
unsupported-contact = a contact
unsupported-poll = a poll
unsupported-dice = a roll of the dice
unsupported-other = this kind of message
document-too-large =
    <b>{ $name }</b> is too large: a description of at most { $most } bytes fits. Keep what the software must do and leave out examples of data. Nothing was started.
document-not-text =
    <b>{ $name }</b> cannot be read as text. Please save it as plain text (UTF-8) and send it again, or write it here.
document-wrong-kind =
    I read descriptions from .txt and .md files; <b>{ $name }</b> is another kind. Please send it as one of those, or write it here.
document-empty = <b>{ $name }</b> is empty. Please say what you want built, in the file or here.
not-allowed =
    This is a private workshop: its operator decides who may use it. To be let in, tell them your Telegram number: <code>{ $id }</code>
in-groups =
    In a group I listen when you mention { $name } or reply to me. What is built here is paid by whoever asked for it.
only-in-private = Credits, payments and your data are between the two of us: please write to me in a private chat.
login-code =
    🔑 Your code to sign in:

    <code>{ $code }</code>

    It works once, within { $minutes } minutes, at { $address } (programs: <code>POST /auth/code</code>). A code you were given before no longer works.

    Give it to nobody, whoever asks: with it they are you, and your credits are theirs.
login-too-late = You asked for a code to sign in, and I could not give it to you in time. /login gives you a new one.
login-only-in-private = A code to sign in is for your eyes alone: please ask for it in our private chat.

## Languages, settings, rules

languages = Which language shall I speak?
language-chosen = All right, English it is.
settings =
    <b>Settings</b>
    Language: { $language }
terms =
    <b>Terms</b>
    · Credits pay for the work of the language models on your projects. Each project shows its price as a range before you say go, and stops when your credits run out.
    · A model's answers are paid for, also while a step is repaired. What a failing provider or a fault of ours costs is not charged. The receipt of each project lists every part.
    · Each step is tested before it counts as done. What could not be tested is marked as such. Software can still have faults: try what you receive before you rely on it.
    · What you receive is yours. Do not ask for anything that is against the law.
    · Your texts are sent to the providers of language models in order to do the work.
    · Questions about a payment: /paysupport. To leave: /delete_my_data.
pay-support =
    <b>Help with a payment</b>
    Credits arrive as soon as a payment is confirmed, as a rule within a minute. If yours did not, look at your history first; a payment that is late is looked for by itself.

    Otherwise ask whoever runs this bot, with the day and the amount of the payment. They can return a payment. Telegram's own support cannot help with purchases made here.
pay-support-with-contact =
    <b>Help with a payment</b>
    Credits arrive as soon as a payment is confirmed, as a rule within a minute. If yours did not, look at your history first; a payment that is late is looked for by itself.

    Otherwise write to { $contact }, with the day and the amount of the payment. They can return a payment. Telegram's own support cannot help with purchases made here.
delete-asked =
    <b>Delete all your data?</b>

    Deleted for good: { $projects ->
        [0] everything you said here
        [one] your project with its files, everything you said here
       *[other] your { $projects } projects with their files, everything you said here
    }, your name, your settings and your keys. Work under way is stopped. The credits you have left ({ $credits }) are lost.

    Kept: the amounts and days of payments and charges, without your name. Accounts have to be kept.

    This cannot be undone. Download what you want to keep first.
deleted =
    Your data is deleted ({ $at } UTC){ $projects ->
        [0] .
        [one] , with one project.
       *[other] , with { $projects } projects.
    } Amounts and days of payments stay, without your name.

    If you ever want to come back: /start

## Projects and questions

no-project = You have no project yet. Tell me what you need, and I begin.
projects =
    { $count ->
        [one] <b>Your project</b>
       *[other] <b>Your { $count } projects</b>
    }
projects-row =
    { $title }
    { $status } · { $credits } credits
projects-current =
    👉 { $title }
    { $status } · { $credits } credits
project-opened = We are now speaking of { $title }. What you write is about it.
project-gathering-requirements = 🔎 understanding what you need
project-planning = 📝 planning
project-awaiting-approval = 📝 the plan waits for your go
project-implementing = 🛠 building
project-awaiting-verification = 🛠 testing and reviewing
project-awaiting-refinement = ⚠️ needs a word from you
project-verification-complete = 🛠 all steps done, finishing
project-readme-generation = 📖 writing the instructions
project-readme-failed = ⚠️ the instructions did not work
project-completed = ✅ delivered
project-paused = ⏸ paused
project-awaiting-credits = 💳 waiting for credits
project-attention = ⚠️ needs a word from you
project-cancelled = ⏹ stopped
project-failed = ❌ failed

question =
    { $total ->
        [one] One question before I plan
       *[other] Question { $number } of { $total }
    }
question-recommended = { $number }. { $option } – <i>recommended</i>
question-option = { $number }. { $option }
question-hint = Touch an answer, or write your own.
question-hint-without-options = Answer in your own words, or let me decide.
answered =
    { $question }
    ✅ <b>{ $answer }</b>

## Plans

plan = 📝 <b>The plan for</b> { $title }
plan-stack = <b>Made with</b>
plan-part = { $part }: { $choice }
plan-tasks =
    { $count ->
        [one] <b>One step</b>
       *[other] <b>{ $count } steps</b>
    }
plan-price = 💳 <b>{ $low } to { $high } credits</b>; you have { $credits }.
plan-price-unknown = 💳 There is no price for this plan; you have { $credits } credits. You can set a limit once it is under way.
plan-price-enough = You pay only for what is used.
plan-price-tight = That may not be enough for all of it. If credits run out, everything is kept and it goes on after a top-up.
plan-price-short = That is not enough for all of it. You can top up now, or begin: when credits run out, everything is kept and it goes on after a top-up.
going = ▶️ { $title }: building it now. You will see how far it is here; you need not wait.
change-plan-asked = What should be different in the plan for { $title }? Write it in your own words; you get a new plan and a new price.
plan-changing = 📝 { $title }: thank you, I am making a new plan with that.
explain-asked = What should be done differently in { $title }? Write it in your own words; it goes straight to whoever is working on it.
remark-noted = ✍️ { $title }: noted. The next step of the work will see it.
remark-goes-on = ▶️ { $title }: thank you, it goes on with that.
limit-asked = { $title } has cost { $credits } credits so far. What may it cost in all? Write a number of credits.
limit-asked-again = { $title } has cost { $credits } credits so far, and may cost { $limit }. What may it cost in all? Write a number of credits.
limit-unclear = That is not a number of credits. What may { $title } cost in all? Write a number, such as 50 or 12.50.
limit-set = { $title } may now cost { $limit } credits in all.
limit-lifted = { $title } has no limit of its own any more; it stops when your credits run out.
cancel-asked =
    Stop { $title } for good? It has cost { $credits } credits so far.

    What is finished can still be downloaded, but the work cannot be taken up again. To stop for a while, pause it instead.
cancel-refinement-asked =
    Stop this change to { $title }? The project stays as it was delivered, and you can ask for another change at any time.
cancelled = ⏹ { $title } is stopped. What was finished is kept: you can download it.
cancelled-empty = ⏹ { $title } is stopped. Nothing was finished yet, so there is nothing to download.
cancelled-refinement = ⏹ The change to { $title } is stopped. The project is as it was delivered.
going-on = ▶️ { $title } goes on from where it stopped.

## The status message

phase-gather = 🔎 Understanding what you need
phase-plan = 📝 Planning
phase-approve = 📝 Getting ready to build
phase-implement = 🛠 Building
phase-readme = 📖 Writing and trying the instructions
phase-package = 📦 Packing
phase-finished = 📦 Finishing
state-waiting = ❓ Waiting for your answers
state-waiting-go = 📝 The plan waits for your go
state-refinement = ⚠️ Stuck: it needs a word from you
state-paused = ⏸ Paused
state-credits = 💳 Waiting for credits
state-attention = ⚠️ Stopped: it needs a word from you
state-done = ✅ Delivered
state-failed = ❌ Failed
state-cancelled = ⏹ Stopped for good
status-begun = I am reading it. If something is unclear, I ask; otherwise the plan is next.
status-tasks =
    { $total ->
        [one] { $done } of 1 step done
       *[other] { $done } of { $total } steps done
    }
status-doing = Now: { $doing }
status-task = <b>{ $task }</b> { $title }: { $doing }
status-attempt =
    { $attempt ->
        [1] by { $model }
       *[other] attempt { $attempt }, by { $model }
    }
status-model = by { $model }
status-latest = <i>{ $event }</i>
status-checks =
    { $count ->
        [one] ✔️ 1 check passed
       *[other] ✔️ { $count } checks passed
    }
status-spent = 💳 { $credits } credits
status-spent-of = 💳 { $credits } of at most { $quote } credits
status-elapsed = ⏱ { $time }
details-no-tasks = The steps follow with the plan.
details-unchecked = ☑️ written and reviewed, but it could not be tested here
details-dropped = ➖ given up; nothing of it is in the project
doing-gather = reading what you wrote
doing-plan = planning the steps
doing-implement = writing it
doing-check = testing it
doing-verify = reviewing it
doing-commit = putting it in place
doing-readme = writing the instructions
doing-check-readme = trying the instructions
doing-commit-readme = putting the instructions in place
doing-package = packing it for you
duration-seconds = { $seconds } s
duration-minutes = { $minutes } min
duration-hours = { $hours } h { $minutes } min
and-more = … and { $count } more

latest-implemented =
    { $files ->
        [one] { $task }: wrote one file
       *[other] { $task }: wrote { $files } files
    }
latest-unusable = an answer could not be used; asked again
latest-repeated = { $task }: the same attempt again; asking for another way
latest-escalated = { $task }: a stronger model takes over ({ $model })
latest-passed =
    { $checks ->
        [one] { $task }: the check passed
       *[other] { $task }: all { $checks } checks passed
    }{ $tests ->
        [0] {""}
        [one] , with 1 test
       *[other] , with { $tests } tests
    }
latest-failed = { $task }: a check failed, repairing it ({ $reason })
latest-not-executed = { $task }: could not be tested here ({ $reason })
latest-approved = { $task }: the review is good
latest-rejected = { $task }: the review wants a change: { $feedback }
latest-done = { $task } is done: { $title }, { $credits } credits
latest-unchecked = { $task } is written, but was not tested: { $title }, { $credits } credits
latest-clear = all clear, no questions
latest-asked =
    { $count ->
        [one] one question for you
       *[other] { $count } questions for you
    }
latest-planned =
    { $tasks ->
        [one] planned in one step
       *[other] planned in { $tasks } steps
    }
latest-go = you said go
latest-dropped = given up: { $tasks }
latest-readme-written = the instructions are written
latest-readme = the instructions were tried and work
latest-readme-unchecked = the instructions are written, but were not tried
latest-provider = the models' provider is busy; again in { $wait }
latest-provider-next = the models' provider is busy; asking { $model } instead
latest-in-line =
    { $count ->
        [one] in line: one of your projects is worked on at a time
       *[other] in line: { $count } of your projects are worked on at a time
    }
latest-refines = changing { $path }
latest-resumed = going on
latest-delivered =
    { $files ->
        [one] packed: 1 file
       *[other] packed: { $files } files
    }

## News and stops

rejected =
    🔁 { $title }: the review sent <b>{ $task }</b> back, and it is being repaired.
    { $feedback }
    You need not do anything. If something was misunderstood, explain it.
escalated = 💪 { $title }: <b>{ $task }</b> is hard, so a stronger model takes over ({ $model }).
dropped =
    { $title } goes on without:
    { $tasks }
refinement-started = 🛠 { $title }: changing { $path }. You get a new delivery when it is tested and reviewed.
provider-trouble = ⏳ { $title }: the models' provider is not answering. I try again in { $wait }; nothing is lost, and waiting costs nothing.
in-line =
    { $count ->
        [one] ⏳ { $title } is in line: one of your projects is worked on at a time. It begins by itself.
       *[other] ⏳ { $title } is in line: { $count } of your projects are worked on at a time. It begins by itself.
    }
stopped =
    { $title }
    { $why }
stop-task-stuck = ⚠️ One step fails again and again, with every model. I stopped rather than spend more of your credits on it.
stop-going-in-circles = ⚠️ One step is going in circles: the same attempts, the same failures. I stopped before it cost you more.
stop-too-many-attempts = ⚠️ One step was tried as often as it may be without asking you.
stop-paused = ⏸ Paused, as you asked. Everything is kept.
stop-out-of-credits = 💳 Your credits do not cover the next step. Everything so far is kept.
stop-out-of-credits-needed = 💳 The next step may need up to { $needed } credits, and you have { $credits }. Everything so far is kept.
stop-in-debt = 💳 Your account is { $credits } credits below zero, so nothing is started. Everything so far is kept.
stop-project-limit = 💳 The limit of this project does not cover the next step. Everything so far is kept.
stop-project-limit-needed = 💳 The next step may need up to { $needed } credits, more than the limit of this project leaves. Everything so far is kept.
stop-provider = ⚠️ The models' provider has failed for a while. Everything so far is kept.
stop-configuration = ⚠️ Something is not set up here as it should be. Only whoever runs this bot can mend it; everything so far is kept.
stop-unusable-replies = ⚠️ The model gave no usable answer, several times in a row. Everything so far is kept.
stop-readme-failed = ⚠️ The project is built, but its instructions did not work when they were tried.
stop-working-time = ⏱ It has worked as long as it may without asking you. Everything so far is kept.
stop-too-many-steps = ⏱ It has taken as many steps as it may without asking you. Everything so far is kept.
stop-crashes = ⚠️ The same step broke down several times in a row. Everything so far is kept, and nothing was charged for it.
stop-defect = ⚠️ Something went wrong on our side. Everything so far is kept, and nothing was charged for this step.
hint-task-stuck = Often a word from you helps most: say what matters, or what to leave out. Trying again means two more attempts with the strongest model.
hint-going-in-circles = Often a word from you helps most: say what matters, or what to leave out. Trying again means two more attempts with the strongest model.
hint-too-many-attempts = You can let it try as often again, or explain what to do differently.
hint-paused = It goes on from the same place whenever you like.
hint-out-of-credits = After a top-up it goes on by itself.
hint-nothing-for-sale = Credits cannot be bought here: ask whoever runs this bot for more. When they arrive, it goes on by itself.
hint-project-limit = Raise the limit, or lift it, and it goes on by itself.
hint-provider = Try again in a few minutes. What failed was not charged.
hint-configuration = Please tell them; then try again.
hint-unusable-replies = Asking once more often helps. The repeated answers were not charged.
hint-readme-failed = You can have them written again, say what is wrong, or take the project as it is.
hint-working-time = Go on to let it work as long again, or say what to do differently.
hint-too-many-steps = Go on to let it work as much again, or say what to do differently.
hint-crashes = You can try again. If it breaks down once more, please tell whoever runs this bot.
hint-defect = You can try again. If it happens once more, please tell whoever runs this bot what is written above.
## Deliveries

delivered = ✅ { $title } is ready.
delivered-refinement = ✅ { $title }: the change is done.
delivered-files =
    { $files ->
        [one] 1 file, { $size }
       *[other] { $files } files, { $size }
    }
delivered-checks =
    { $count ->
        [one] ✔️ 1 check was run, and passed
       *[other] ✔️ { $count } checks were run, and passed
    }
delivered-unchecked =
    { $count ->
        [one] ☑️ 1 step is written and reviewed, but could not be tested here: try it yourself
       *[other] ☑️ { $count } steps are written and reviewed, but could not be tested here: try them yourself
    }
delivered-run =
    <b>How to run it</b>
    { $commands }
delivered-see-readme = How to use it is written in README.md.
delivered-cost = 💳 { $credits } credits · ⏱ { $time }
delivered-cost-of = 💳 { $credits } credits (at most { $quote } were announced) · ⏱ { $time }
delivered-next = Try it, and tell me what to change: touch the button, or write which file and what.
size-kilobytes = { $size } kB
size-megabytes = { $size } MB
receipt = 🧾 <b>What</b> { $title } <b>cost</b>
receipt-row =
    { $calls ->
        [one] { $part }: <b>{ $credits }</b> (1 answer)
       *[other] { $part }: <b>{ $credits }</b> ({ $calls } answers)
    }
receipt-total = In all: <b>{ $credits } credits</b>
receipt-free =
    { $count ->
        [one] 1 answer failed and was not charged.
       *[other] { $count } answers failed and were not charged.
    }
receipt-exact = Amounts are rounded here; RECEIPT.md in the zip has them exactly.
receipt-empty = { $title } has cost nothing yet.
change-which =
    { $count ->
        [one] <b>What should change in</b> { $title }<b>?</b> It has one file; touch it, then say what to change.
       *[other] <b>What should change in</b> { $title }<b>?</b> It has { $count } files; touch one, then say what to change.
    }

    Or write it out:
    { $form }
change-asked = What should change in { $path } of { $title }? Write it in your own words.
change-nothing = { $title } has no files yet. Once it is delivered, you can have any of them changed.
change-list-old = The files of { $title } have changed since that list was made. Please choose again:
archive-so-far =
    { $files ->
        [one] { $title } so far: 1 file, { $size }. It is not finished yet.
       *[other] { $title } so far: { $files } files, { $size }. It is not finished yet.
    }
archive-again = 📦 { $title }, as it was delivered.
archive-empty = { $title } has nothing to download yet: files come with the first finished step.
archive-too-large = <b>{ $name }</b> ({ $size }) is too large for Telegram, and this installation has no page for it. It is kept; whoever runs this bot can give it to you.

## Credits and payments

credits = 💳 You have <b>{ $credits } credits</b>.
credits-in-debt = 💳 Your account is <b>{ $credits } credits below zero</b>, because a payment was returned. Nothing is started until it is even.
credits-held = { $credits } more are set aside for work under way; what is not used comes back:
credits-held-row = · { $credits } for { $title }
credits-waiting =
    { $count ->
        [one] One project waits for credits:
       *[other] { $count } projects wait for credits:
    }
credits-waiting-row = · { $title } needs { $credits }
history = <b>Your credits, latest first</b>
history-row = { $at } · { $what } <b>{ $credits }</b> → { $balance }
history-note = Times are UTC.
history-empty = Nothing has moved on your account yet.
moved-initial-grant = first credits
moved-purchase = bought
moved-usage-deduction = used
moved-refund-clawback = taken back, payment returned
moved-dispute-clawback = taken back, payment disputed
moved-dispute-reinstated = given back, dispute won
moved-adjustment = adjusted
moved-expiry = expired
moved-other = moved
packages =
    You have { $credits } credits. Choose a package; credits arrive as soon as it is paid, and projects that wait for them go on by themselves.
nothing-for-sale = You have { $credits } credits. None can be bought here: ask whoever runs this bot for more.
invoice-title = { $credits } credits
invoice-description = { $credits } credits for building software with this bot.
card-page = { $credits } credits for { $price }: pay on this page, and they arrive by themselves.
paid = ✅ Thank you: { $price } paid, <b>{ $credits } credits</b> added. You have { $available }.
paid-goes-on =
    { $count ->
        [one] This project goes on:
       *[other] These projects go on:
    }
paid-not-as-ordered = A payment of yours has arrived, but not as it was ordered, so no credits were added yet. It is recorded and will be looked into: /paysupport
refused-unknown-order = This invoice is not known here any more. Please send /buy for a new one.
refused-not-yours = This invoice is for somebody else. Please send /buy for one of your own.
refused-already-paid = This invoice is paid already. Please send /buy for a new one.
refused-price-changed = The price has changed since. Please send /buy for a new invoice.
refused-not-allowed = Your account cannot buy here now. Please see /paysupport.
refused-not-now = Payments cannot be taken at this moment. Nothing was charged; please try again in a few minutes.

## When something does not work

something-went-wrong =
    Something went wrong on our side, and I could not do that. Nothing was lost and nothing was charged for it. Please try again; if it stays, tell whoever runs this bot this number: { $id }
message-set-aside =
    I tried several times, but could not deal with your last message. Your projects are not touched. Please say it in another way; whoever runs this bot finds what happened under { $id }
error-unknown-project = There is no such project among yours. Your projects are listed by /projects.
error-project-not-found = There is no such project among yours. Your projects are listed by /projects.
error-empty-brief = There is nothing in it yet. Say in a few sentences what you want built.
error-brief-too-long = That is longer than I can take at once: at most { $most } bytes fit. Keep what the software must do and leave out examples of data. Nothing was started.
error-unclear-form =
    To change a file of a project, write it like this, or send /refine and touch the file:
    <code>refine file PATH in project ID with instruction: TEXT</code>
    Nothing was started.
error-empty-instruction = Say in a sentence or two what should change in the file. Nothing was started.
error-instruction-too-long = That is more than fits in one change: at most { $most } characters. Ask for one change at a time. Nothing was started.
error-unknown-file = { $said }
error-file-too-large = That file is too large to be changed here: at most { $most } bytes fit. Choose a smaller one.
error-insufficient-credits = Your credits are not enough to begin this. Nothing was started and nothing is lost: top up, then ask again.
error-insufficient-credits-needed = This needs at least { $needed } credits, and you have { $available }. Nothing was started and nothing is lost: top up, then ask again.
error-project-limit-reached = The limit of this project does not leave enough for the next step. Raise it, and the work goes on. Nothing is lost.
error-not-delivered = Only a delivered project can be changed file by file. While one is being built, just write what you want: whoever works on it will see it.
error-cannot-drop = { $said }
error-nothing-to-do = { $said }
error-project-paused = The project is paused. Resume it first.
error-project-cancelled = The project is stopped for good. You can begin a new one.
error-invalid-limit = { $said }
error-account-inactive = Your account is closed. Please ask whoever runs this bot.
error-account-not-active = Your account is suspended and cannot sign in. Please ask whoever runs this bot.
error-unknown-package = There is no such package any more. Please choose again.
error-payments-off = Credits cannot be bought here. Please ask whoever runs this bot.
error-payment-gateway-unavailable = The payment service does not answer at this moment. Nothing was charged; please try again in a few minutes.
error-payment-gateway-refused = The payment service has refused this. Nothing was charged; please try another way to pay, or see /paysupport.
error-unknown-order = This order is not known here. Please begin again.
error-too-many-orders = You have begun many payments in a short time. Please finish one of them, or try again later.
error-no-telegram-account = Your account is not tied to Telegram, so Stars cannot be used for it.
error-illegal-move = { $said }
error-storage-unavailable = The files cannot be reached at this moment. They are kept; please try again in a few minutes.

## Operators

granted = { $name } was given { $credits } credits and has { $available } now.
given = 🎁 You were given <b>{ $credits } credits</b>. You have { $available }.
grant-how = Write whom and how much, by Telegram number or @name: { $form }
grant-nobody = There is no account { $name }. They must have sent /start once.
free-credits-used-up = Today's free credits are all given. You can buy some now, or come back tomorrow.
stats-people = 👥 { $people } people, { $today } new today
stats-projects = 📁 { $projects } projects, { $delivered } delivered
stats-idle = Nothing is under way.
stats-ready = { $count } being worked on, or about to be
stats-waiting = { $count } waiting for answers or a go
stats-refinement = { $count } stuck at a step
stats-paused = { $count } paused
stats-credits = { $count } waiting for credits
stats-attention = { $count } stopped, wanting attention
stats-done = { $count } delivered
stats-failed = { $count } failed
stats-cancelled = { $count } stopped for good
stats-money = 💳 today: { $used } credits used, { $bought } bought
stats-free = 🎁 today: { $credits } given to newcomers
stats-free-of = 🎁 today: { $credits } of at most { $most } given to newcomers

## Buttons

button-new = ➕ New project
button-projects = 📁 Projects
button-project = { $title }
button-credits = 💳 Credits
button-history = 📜 History
button-help = ❔ Help
button-settings = ⚙️ Settings
button-private-chat = 🔒 To the private chat
button-language = 🌐 Language
button-begin-anyway = Begin with it
button-it-is-new = It is a new project
button-never-mind = Never mind
button-newer = ◀️ Newer
button-older = Older ▶️
button-earlier = ◀️ Back
button-later = More ▶️
button-recommended = { $number }. { $option } ✓
button-option = { $number }. { $option }
button-decide = 🎲 Decide for me
button-decide-all = Decide the rest for me
button-build = ▶️ Build it
button-change-plan = ✏️ Change it
button-top-up = 💳 Top up
button-cancel = ✖️ Cancel
button-cancel-for-good = ⏹ Stop for good
button-keep-going = Leave it as it is
button-pause = ⏸ Pause
button-resume = ▶️ Go on
button-stop = ⏹ Stop
button-details = 🔍 Details
button-status = 📊 Status
button-try-again = 🔁 Try again
button-stronger = 💪 Stronger model ({ $model })
button-explain = ✍️ Let me explain
button-drop = ➖ Go on without it
button-raise-limit = Raise the limit
button-lift-limit = No limit
button-as-much-again = ▶️ As much again
button-take-as-is = 📦 Take it as it is
button-download = ⬇️ Download
button-receipt = 🧾 Receipt
button-change-it = ✏️ Change something
button-file = { $path }
button-buy-stars = { $credits } credits · ⭐ { $stars }
button-buy-card = { $credits } credits · { $price }
button-pay = Pay { $price }
button-delete-my-data = 🗑 Delete my data
button-delete-for-good = 🗑 Delete everything
button-keep-my-data = Keep my data

## Answers to buttons

answer-noted = Noted.
answer-building = Building it.
answer-pausing = Pausing: it stops within seconds.
answer-stopping = Stopping: it takes a few seconds.
answer-going-on = It goes on.
answer-packing = Packing it for you…
answer-out-of-date = That button is out of date; the newest message shows what is the case now.
answer-already-answered = That is answered already.
answer-not-yours = That is not yours.
answer-unknown = That button means nothing here any more.
answer-went-wrong = Something went wrong on our side. Please try again.
answer-error = { $said }

## Commands, for Telegram's menu

command-new = Begin a new project
command-projects = See your projects
command-status = See how far the project is
command-credits = See your credits
command-buy = Get more credits
command-history = See where your credits went
command-pause = Stop for a while
command-resume = Go on
command-cancel = Stop for good
command-download = Get the files so far
command-refine = Change a file of a finished project
command-login = Get a code to sign in
command-settings = Language and your data
command-language = Choose a language
command-help = See how it works
command-terms = Read the terms
command-paysupport = Get help with a payment
command-delete-my-data = Delete everything about you
